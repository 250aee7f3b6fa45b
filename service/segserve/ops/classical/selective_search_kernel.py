"""Compiled grouping of regions; arguments are trusted (`segserve.ops.classical.selective_search`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np

from segserve.ops.kernel_cache import njit


@njit(
    "float32(int64, int64, float32[:, ::1], float32[:, ::1], float64[::1], float32[:, ::1], float64)"
)
def _similarity(a, b, colours, textures, sizes, boxes, area):
    total = 0.0
    for i in range(colours.shape[1]):
        total += min(colours[a, i], colours[b, i])
    for i in range(textures.shape[1]):
        total += min(textures[a, i], textures[b, i])
    total += 1 - (sizes[a] + sizes[b]) / area
    right, bottom = max(boxes[a, 2], boxes[b, 2]), max(boxes[a, 3], boxes[b, 3])
    left, top = min(boxes[a, 0], boxes[b, 0]), min(boxes[a, 1], boxes[b, 1])
    total += 1 - ((right - left) * (bottom - top) - sizes[a] - sizes[b]) / area
    return np.float32(total)


@njit(
    "int64(float32[:, ::1], float32[:, ::1], float64[::1], float32[:, ::1], boolean[:, ::1], float64, int64, int64[:, ::1])"
)
def group(colours, textures, sizes, boxes, touch, area, count, merges):
    """Merge the two most similar neighbours until none are left; gives the number of merges.

    Rows from `count` on are filled with the merged regions; `merges` names the two of each.
    """
    nodes = sizes.shape[0]
    similar = np.full((nodes, nodes), -1.0, np.float32)
    best = np.full(nodes, -1.0, np.float32)
    mate = np.full(nodes, -1, np.int64)
    for a in range(count):
        for b in range(a + 1, count):
            if touch[a, b]:
                similar[a, b] = _similarity(a, b, colours, textures, sizes, boxes, area)
                similar[b, a] = similar[a, b]
    for a in range(count):
        for b in range(count):
            if similar[a, b] > best[a]:
                best[a], mate[a] = similar[a, b], b
    made = 0
    while True:
        a = -1
        top = np.float32(-1)
        for n in range(count + made):
            if best[n] > top:
                top, a = best[n], n
        if a < 0:
            break
        b = mate[a]
        new = count + made
        merges[made, 0], merges[made, 1] = a, b
        made += 1
        sizes[new] = sizes[a] + sizes[b]
        for i in range(colours.shape[1]):
            colours[new, i] = (sizes[a] * colours[a, i] + sizes[b] * colours[b, i]) / sizes[new]
        for i in range(textures.shape[1]):
            textures[new, i] = (sizes[a] * textures[a, i] + sizes[b] * textures[b, i]) / sizes[new]
        boxes[new, 0], boxes[new, 1] = min(boxes[a, 0], boxes[b, 0]), min(boxes[a, 1], boxes[b, 1])
        boxes[new, 2], boxes[new, 3] = max(boxes[a, 2], boxes[b, 2]), max(boxes[a, 3], boxes[b, 3])
        best[a] = best[b] = np.float32(-1)
        similar[a, b] = similar[b, a] = np.float32(-1)
        for n in range(new):
            alive = similar[a, n] >= 0 or similar[b, n] >= 0
            similar[n, a] = similar[n, b] = similar[a, n] = similar[b, n] = np.float32(-1)
            if not alive:
                continue
            value = _similarity(new, n, colours, textures, sizes, boxes, area)
            similar[new, n] = similar[n, new] = value
            if value > best[new]:
                best[new], mate[new] = value, n
            if mate[n] == a or mate[n] == b:
                best[n], mate[n] = np.float32(-1), -1
                for other in range(new + 1):
                    if similar[n, other] > best[n]:
                        best[n], mate[n] = similar[n, other], other
            elif value > best[n]:
                best[n], mate[n] = value, new
    return made
