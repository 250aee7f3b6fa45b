"""Compiled passes over the pixels of a mean field; arguments are trusted (`segserve.ops.crf.field`).

One pass slices both lattices, adds the unary term, normalises and splats again (Kraehenbuehl and
Koltun 2011, algorithm 1). Rows of vertices and of pixels are flat, `width` floats each, a multiple
of eight.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import (
    LANES,
    add,
    exp,
    fma,
    larger,
    largest,
    load,
    mul,
    pick,
    prefetch,
    spread,
    store,
    sub,
    total,
)
from segserve.ops.kernel_cache import njit

_FLAT = types.float32[::1]
_INTS = types.int32[::1]
_INT_ROWS = types.int32[:, ::1]
_WEIGHTS = types.float32[:, ::1]
_PLACES = types.Tuple((_INTS, _INT_ROWS, _WEIGHTS, _FLAT))
GROUPS = (*(types.UniTuple(types.int64, n) for n in range(1, 4)), types.int64[::1])
"""Groups of eight labels: a tuple's length is known when a kernel is compiled, so that its loops are
straight code for up to 24 labels; above that an array of as many elements stands for it, and passes
over pixels take about a quarter longer."""
_BLOCK = 32
"""Pixels that are sliced, then normalised, then splatted: chains of one do not hold up another's."""
_LINE = 16
"""Floats in a line of the cache."""
_NEAR, _CLOSE = 6, 3
"""Vertices of a simplex in the five dimensions of the bilateral lattice, and in two."""


@njit()
def normalise(rows, at, groups):
    """Replace the row of logits at `at` by its softmax, in place; gives the largest belief."""
    top = load(rows, at)
    for group in range(1, len(groups)):
        top = larger(top, load(rows, at + group * LANES))
    highest = spread(largest(top))
    whole = spread(np.float32(0))
    for group in range(len(groups)):
        lane = at + group * LANES
        part = exp(sub(load(rows, lane), highest))
        store(rows, lane, part)
        whole = add(whole, part)
    share = np.float32(1) / total(whole)
    for group in range(len(groups)):
        lane = at + group * LANES
        store(rows, lane, mul(load(rows, lane), spread(share)))
    return share


@njit()
def _log_below(value):
    """Give a lower bound of the logarithm of a value >= 1, 0.06 too small at most.

    A float's bits, read as an integer, are its binary logarithm with straight lines between powers
    of two; these lie below the logarithm.
    """
    bits = np.float32(value).view(np.int32)
    return (np.float32(bits) * np.float32(1 / 8388608) - np.float32(127)) * np.float32(0.693147)


@njit()
def _near_places(corners, inside, width):
    """Give where the values of a simplex's six vertices begin."""
    at = np.int64(inside) * _NEAR
    return (
        np.int64(pick(corners, at)) * width,
        np.int64(pick(corners, at + 1)) * width,
        np.int64(pick(corners, at + 2)) * width,
        np.int64(pick(corners, at + 3)) * width,
        np.int64(pick(corners, at + 4)) * width,
        np.int64(pick(corners, at + 5)) * width,
    )


@njit()
def _close_places(corners, inside, width):
    """Give where the values of a simplex's three vertices begin."""
    at = np.int64(inside) * _CLOSE
    return (
        np.int64(pick(corners, at)) * width,
        np.int64(pick(corners, at + 1)) * width,
        np.int64(pick(corners, at + 2)) * width,
    )


@njit()
def _near_shares(weights, n):
    """Give a pixel's weights of the six vertices around it."""
    at = n * _NEAR
    return (
        pick(weights, at),
        pick(weights, at + 1),
        pick(weights, at + 2),
        pick(weights, at + 3),
        pick(weights, at + 4),
        pick(weights, at + 5),
    )


@njit()
def _close_shares(weights, n):
    """Give a pixel's weights of the three vertices around it."""
    at = n * _CLOSE
    return pick(weights, at), pick(weights, at + 1), pick(weights, at + 2)


@njit()
def _slice_near(places, shares, first, values, row):
    """Add what the vertices around a pixel hold, eight labels of it, to a register."""
    other = mul(spread(shares[0]), load(values, places[0] + first))
    row = fma(spread(shares[1]), load(values, places[1] + first), row)
    other = fma(spread(shares[2]), load(values, places[2] + first), other)
    row = fma(spread(shares[3]), load(values, places[3] + first), row)
    other = fma(spread(shares[4]), load(values, places[4] + first), other)
    row = fma(spread(shares[5]), load(values, places[5] + first), row)
    return add(row, other)


@njit()
def _add_to(values, at, share, change):
    store(values, at, fma(spread(share), change, load(values, at)))


@njit()
def _splat_near(places, shares, first, values, change):
    """Add eight labels of a pixel, weighted, to the vertices around it."""
    _add_to(values, places[0] + first, shares[0], change)
    _add_to(values, places[1] + first, shares[1], change)
    _add_to(values, places[2] + first, shares[2], change)
    _add_to(values, places[3] + first, shares[3], change)
    _add_to(values, places[4] + first, shares[4], change)
    _add_to(values, places[5] + first, shares[5], change)


@njit()
def _slice_close(places, shares, first, values, row):
    """Add what the vertices around a pixel hold, eight labels of it, to a register."""
    row = fma(spread(shares[0]), load(values, places[0] + first), row)
    row = fma(spread(shares[1]), load(values, places[1] + first), row)
    return fma(spread(shares[2]), load(values, places[2] + first), row)


@njit()
def _splat_close(places, shares, first, values, change):
    """Add eight labels of a pixel, weighted, to the vertices around it."""
    _add_to(values, places[0] + first, shares[0], change)
    _add_to(values, places[1] + first, shares[1], change)
    _add_to(values, places[2] + first, shares[2], change)


@njit([types.void(_FLAT, g, _PLACES, _PLACES, _FLAT, _FLAT, _FLAT) for g in GROUPS])
def begin(logits, groups, bilateral, gaussian, beliefs, to_bilateral, to_gaussian):
    """Normalise the unary terms alone; these are the first beliefs, and they are splatted."""
    near, near_corners, near_weights, _ = bilateral
    close, close_corners, close_weights, _ = gaussian
    near_corners, near_weights = near_corners.reshape(-1), near_weights.reshape(-1)
    close_corners, close_weights = close_corners.reshape(-1), close_weights.reshape(-1)
    width, count = len(groups) * LANES, near.shape[0]
    for first in range(0, count, _BLOCK):
        filled = min(_BLOCK, count - first)
        for at in range(first * width, (first + filled) * width, LANES):
            store(beliefs, at, load(logits, at))
        for n in range(first, first + filled):
            normalise(beliefs, n * width, groups)
        for n in range(first, first + filled):
            places = _near_places(near_corners, pick(near, n), width)
            far_places = _close_places(close_corners, pick(close, n), width)
            shares, far_shares = _near_shares(near_weights, n), _close_shares(close_weights, n)
            for group in range(len(groups)):
                lane = group * LANES
                belief = load(beliefs, n * width + lane)
                _splat_near(places, shares, lane, to_bilateral, belief)
                _splat_close(far_places, far_shares, lane, to_gaussian, belief)


_STATE = types.Tuple((_PLACES, _FLAT, _FLAT, _FLAT))


@njit(
    [
        types.int64(_FLAT, g, _STATE, _STATE, _FLAT, _FLAT, types.float32, types.boolean, _INTS)
        for g in GROUPS
    ]
)
def update(logits, groups, bilateral, gaussian, beliefs, limits, tolerance, last, computed):
    """Slice, normalise and splat every pixel whose belief may have changed.

    The messages to a pixel change by no more than its norm times what its simplex has `moved`, and
    then its beliefs q by no more than (1 - max q) * (exp(2 change) - 1). Pixels for which that is
    below `tolerance` times max q since they were last computed keep their beliefs: where no label
    is likely, less decides which is first.

    Parameters
    ----------
    bilateral, gaussian : tuples
        Places (simplex, corners, weights, norms); values at the vertices; what each simplex has
        moved so far; and the changes of the beliefs, splatted, which are filled.
    beliefs : float32 [N * width]
        Changed in place.
    limits : float32 [N]
        The sum of norm times moved up to which a pixel need not be computed; -1 at first.
    tolerance : float
    last : bool
        Nothing is splatted, since nobody slices it.
    computed : int32 [N]
        Filled with the pixels that were computed.

    Returns
    -------
    active : int
        Their count.
    """
    placed, near_values, near_moved, near_out = bilateral
    near, near_corners, near_weights, near_norms = placed
    placed, close_values, close_moved, close_out = gaussian
    close, close_corners, close_weights, close_norms = placed
    near_corners, near_weights = near_corners.reshape(-1), near_weights.reshape(-1)
    close_corners, close_weights = close_corners.reshape(-1), close_weights.reshape(-1)
    width, count = len(groups) * LANES, limits.shape[0]
    rows, reached = np.empty(_BLOCK * width, np.float32), np.empty(_BLOCK, np.float32)
    picked = np.empty(_BLOCK, np.int64)
    active, n = 0, 0
    while n < count:
        filled = 0
        while n < count and filled < _BLOCK:
            reach = pick(near_norms, n) * pick(near_moved, np.int64(pick(near, n)))
            reach += pick(close_norms, n) * pick(close_moved, np.int64(pick(close, n)))
            if reach > pick(limits, n):
                picked[filled], reached[filled] = n, reach
                filled += 1
                prefetch(near_corners, np.int64(pick(near, n)) * _NEAR)
                prefetch(close_corners, np.int64(pick(close, n)) * _CLOSE)
                prefetch(near_weights, n * _NEAR)
                prefetch(close_weights, n * _CLOSE)
                for lane in range(0, width, _LINE):
                    prefetch(logits, n * width + lane)
                    prefetch(beliefs, n * width + lane)
            n += 1
        for row in range(filled):
            computed[active + row] = pick(picked, row)
        active += filled
        for row in range(filled):
            at = pick(picked, row)
            places = _near_places(near_corners, pick(near, at), width)
            far_places = _close_places(close_corners, pick(close, at), width)
            shares, far_shares = _near_shares(near_weights, at), _close_shares(close_weights, at)
            for group in range(len(groups)):
                lane = group * LANES
                logit = load(logits, at * width + lane)
                logit = _slice_near(places, shares, lane, near_values, logit)
                logit = _slice_close(far_places, far_shares, lane, close_values, logit)
                store(rows, row * width + lane, logit)
        for row in range(filled):
            highest = normalise(rows, row * width, groups)
            room = max(np.float32(1) - highest, np.float32(1e-7))
            gap = _log_below(np.float32(1) + tolerance * highest / room)
            limits[pick(picked, row)] = pick(reached, row) + np.float32(0.5) * gap
        for row in range(filled):
            at = pick(picked, row)
            places = _near_places(near_corners, pick(near, at), width)
            far_places = _close_places(close_corners, pick(close, at), width)
            shares, far_shares = _near_shares(near_weights, at), _close_shares(close_weights, at)
            for group in range(len(groups)):
                lane = group * LANES
                belief = load(rows, row * width + lane)
                change = sub(belief, load(beliefs, at * width + lane))
                store(beliefs, at * width + lane, belief)
                if not last:
                    _splat_near(places, shares, lane, near_out, change)
                    _splat_close(far_places, far_shares, lane, close_out, change)
    return active
