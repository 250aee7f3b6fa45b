"""Compiled maximum flow on a grid; arguments are trusted (`segserve.ops.classical.max_flow`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit

FREE, SOURCE, SINK = 0, 1, 2
TERMINAL, ORPHAN, NONE = 8, 9, 10
FAR = 1 << 30


@njit("int64(int64, int8[::1], int64[::1], int32[::1], int32[::1], int32)")
def _distance(node, parents, offsets, stamps, depths, now):
    """Count the steps to the node's terminal; FAR when it has lost it. Marks the way."""
    steps = 0
    at = node
    while True:
        if stamps[at] == now:
            steps += depths[at]
            break
        parent = parents[at]
        steps += 1
        if parent == TERMINAL:
            stamps[at] = now
            depths[at] = 1
            break
        if parent > TERMINAL:
            return FAR
        at += offsets[parent]
    left = steps
    at = node
    while stamps[at] != now:
        stamps[at] = now
        depths[at] = left
        left -= 1
        at += offsets[parents[at]]
    return steps


@njit(
    "float64(int64, int64, int64[::1], float32[:, ::1], float32[::1], int8[::1], int64[::1], int64)"
)
def _augment(tail, direction, offsets, links, terminals, parents, orphans, count):
    """Push as much as fits from the source through the edge to the sink.

    Writes the nodes that lost their parent to `orphans` from `count` on, and their number to
    ``orphans[-1]``; gives the flow.
    """
    head = tail + offsets[direction]
    flow = links[direction, tail]
    at = tail
    while parents[at] != TERMINAL:
        d = parents[at]
        up = at + offsets[d]
        flow = min(flow, links[7 - d, up])
        at = up
    flow = min(flow, terminals[at])
    at = head
    while parents[at] != TERMINAL:
        d = parents[at]
        flow = min(flow, links[d, at])
        at += offsets[d]
    flow = min(flow, -terminals[at])
    links[direction, tail] -= flow
    links[7 - direction, head] += flow
    at = tail
    while parents[at] != TERMINAL:
        d = parents[at]
        up = at + offsets[d]
        links[d, at] += flow
        links[7 - d, up] -= flow
        if links[7 - d, up] <= 0:
            parents[at] = ORPHAN
            orphans[count] = at
            count += 1
        at = up
    terminals[at] -= flow
    if terminals[at] <= 0:
        parents[at] = ORPHAN
        orphans[count] = at
        count += 1
    at = head
    while parents[at] != TERMINAL:
        d = parents[at]
        down = at + offsets[d]
        links[7 - d, down] += flow
        links[d, at] -= flow
        if links[d, at] <= 0:
            parents[at] = ORPHAN
            orphans[count] = at
            count += 1
        at = down
    terminals[at] += flow
    if terminals[at] >= 0:
        parents[at] = ORPHAN
        orphans[count] = at
        count += 1
    orphans[-1] = count
    return flow


@njit("void(float32[::1], int8[::1], int8[::1], int32[::1], int64[::1], boolean[::1], int64[::1])")
def begin(terminals, trees, parents, depths, queue, queued, state):
    """Plant a tree at every node that hangs on a terminal; all of them wait in the queue."""
    waiting = 0
    for p in range(terminals.shape[0]):
        trees[p] = FREE
        parents[p] = NONE
        if terminals[p] != 0:
            trees[p] = SOURCE if terminals[p] > 0 else SINK
            parents[p] = TERMINAL
            depths[p] = 1
            queue[waiting] = p
            queued[p] = True
            waiting += 1
    state[0], state[1], state[2], state[3] = 0, waiting, 0, -1


@njit(
    "float64(float32[:, ::1], float32[::1], int64[::1], int8[::1], int8[::1], int32[::1], int32[::1], int64[::1], boolean[::1], int64[::1], int64[::1], int64)"
)
def max_flow(
    links, terminals, offsets, trees, parents, stamps, depths, queue, queued, orphans, state, most
):
    """Find a maximum flow by growing trees from both terminals (Boykov and Kolmogorov).

    `links[d, p]` is what still fits from p to p + offsets[d], and 7 - d the way back; nodes at the
    border of the grid have none. `terminals[p]` above 0 is what fits from the source, below 0 to
    the sink. Both are left as residuals. Writes the tree of every node; nodes of neither tree are
    free. Gives the flow that it pushed, beyond what the caller took off the terminals.

    Pushes along `most` paths at the most. `state` is what `begin` wrote: the queue's first place
    and length, the paths so far and the node that grows. When it ends with a length of 0 and no
    node (-1) the flow is at its maximum; else it goes on from there when it is called again.
    """
    nodes = terminals.shape[0]
    first, waiting, current = state[0], state[1], state[3]
    total = 0.0
    now = np.int32(state[2])
    last = state[2] + most
    while True:
        if current < 0 or parents[current] == NONE:
            if waiting == 0:
                current = -1
                break
            current = queue[first]
            first = first + 1 if first + 1 < nodes else 0
            waiting -= 1
            queued[current] = False
            if parents[current] == NONE:
                current = -1
                continue
        p = current
        tail, direction = -1, -1
        for d in range(8):
            q = p + offsets[d]
            residual = links[d, p] if trees[p] == SOURCE else links[7 - d, q]
            if residual <= 0:
                continue
            if trees[q] == FREE:
                trees[q] = trees[p]
                parents[q] = np.int8(7 - d)
                stamps[q] = stamps[p]
                depths[q] = depths[p] + 1
                if not queued[q]:
                    place = first + waiting
                    queue[place if place < nodes else place - nodes] = q
                    queued[q] = True
                    waiting += 1
            elif trees[q] != trees[p]:
                if trees[p] == SOURCE:
                    tail, direction = p, d
                else:
                    tail, direction = q, 7 - d
                break
            elif stamps[q] <= stamps[p] and depths[q] > depths[p]:
                parents[q] = np.int8(7 - d)
                stamps[q] = stamps[p]
                depths[q] = depths[p] + 1
        if tail < 0:
            current = -1
            continue
        if now >= last:
            current = p
            break
        now += np.int32(1)
        total += _augment(tail, direction, offsets, links, terminals, parents, orphans, 0)
        begin, end, held = 0, orphans[-1], orphans[-1]
        while held > 0:
            o = orphans[begin]
            begin = begin + 1 if begin + 1 < nodes else 0
            held -= 1
            tree = trees[o]
            best, nearest = -1, FAR
            for d in range(8):
                q = o + offsets[d]
                if q < 0 or q >= nodes or trees[q] != tree:
                    continue
                fits = links[7 - d, q] > 0 if tree == SOURCE else links[d, o] > 0
                if fits and parents[q] != NONE:
                    steps = _distance(q, parents, offsets, stamps, depths, now)
                    if steps < nearest:
                        best, nearest = d, steps
            if best >= 0:
                parents[o] = np.int8(best)
                stamps[o] = now
                depths[o] = nearest + 1
                continue
            for d in range(8):
                q = o + offsets[d]
                if q < 0 or q >= nodes or trees[q] != tree:
                    continue
                fits = links[7 - d, q] > 0 if tree == SOURCE else links[d, o] > 0
                if fits and not queued[q] and parents[q] != NONE:
                    place = first + waiting
                    queue[place if place < nodes else place - nodes] = q
                    queued[q] = True
                    waiting += 1
                if parents[q] == 7 - d:
                    parents[q] = ORPHAN
                    orphans[end] = q
                    end = end + 1 if end + 1 < nodes else 0
                    held += 1
            trees[o] = FREE
            parents[o] = NONE
    state[0], state[1], state[2], state[3] = first, waiting, now, current
    return total
