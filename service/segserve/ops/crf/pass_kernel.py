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
GROUPS = (*(types.UniTuple(types.int64, n) for n in range(1, 5)), types.int64[::1])
"""Groups of eight labels: a tuple's length is known when a kernel is compiled, so that its loops are
straight code for up to 32 labels; above that an array of as many elements stands for it."""
_NEAR, _CLOSE = 6, 3
"""Vertices of a simplex in the five dimensions of the bilateral lattice, and in two."""


@njit()
def normalise(logits, groups):
    """Replace a row of logits by its softmax, in place; gives the largest belief."""
    top = load(logits, 0)
    for group in range(1, len(groups)):
        top = larger(top, load(logits, group * LANES))
    highest = spread(largest(top))
    whole = spread(np.float32(0))
    for group in range(len(groups)):
        lane = group * LANES
        part = exp(sub(load(logits, lane), highest))
        store(logits, lane, part)
        whole = add(whole, part)
    share = np.float32(1) / total(whole)
    for group in range(len(groups)):
        lane = group * LANES
        store(logits, lane, mul(load(logits, lane), spread(share)))
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
def _slice_near(corners, weights, inside, n, first, width, values, row):
    """Add what the vertices around a pixel hold, eight labels of it, to a register."""
    for k in range(_NEAR):
        at = np.int64(corners[inside, k]) * width + first
        row = fma(spread(weights[n, k]), load(values, at), row)
    return row


@njit()
def _splat_near(corners, weights, inside, n, first, width, values, change):
    """Add eight labels of a pixel, weighted, to the vertices around it."""
    for k in range(_NEAR):
        at = np.int64(corners[inside, k]) * width + first
        store(values, at, fma(spread(weights[n, k]), change, load(values, at)))


@njit()
def _slice_close(corners, weights, inside, n, first, width, values, row):
    """Add what the vertices around a pixel hold, eight labels of it, to a register."""
    for k in range(_CLOSE):
        at = np.int64(corners[inside, k]) * width + first
        row = fma(spread(weights[n, k]), load(values, at), row)
    return row


@njit()
def _splat_close(corners, weights, inside, n, first, width, values, change):
    """Add eight labels of a pixel, weighted, to the vertices around it."""
    for k in range(_CLOSE):
        at = np.int64(corners[inside, k]) * width + first
        store(values, at, fma(spread(weights[n, k]), change, load(values, at)))


@njit([types.void(_FLAT, g, _PLACES, _PLACES, _FLAT, _FLAT, _FLAT) for g in GROUPS])
def begin(logits, groups, bilateral, gaussian, beliefs, to_bilateral, to_gaussian):
    """Normalise the unary terms alone, keep them as beliefs, and splat them."""
    near, near_corners, near_weights, _ = bilateral
    close, close_corners, close_weights, _ = gaussian
    width = len(groups) * LANES
    row = np.empty(width, np.float32)
    for n in range(near.shape[0]):
        for group in range(len(groups)):
            lane = group * LANES
            store(row, lane, load(logits, n * width + lane))
        normalise(row, groups)
        for group in range(len(groups)):
            lane = group * LANES
            belief = load(row, lane)
            store(beliefs, n * width + lane, belief)
            _splat_near(near_corners, near_weights, near[n], n, lane, width, to_bilateral, belief)
            _splat_close(
                close_corners, close_weights, close[n], n, lane, width, to_gaussian, belief
            )


_STATE = types.Tuple((_PLACES, _FLAT, _FLAT, _FLAT))


@njit(
    [
        types.int64(_FLAT, g, _STATE, _STATE, _FLAT, _FLAT, types.float32, types.boolean)
        for g in GROUPS
    ]
)
def update(logits, groups, bilateral, gaussian, beliefs, limits, tolerance, last):
    """Slice, normalise and splat every pixel whose belief may have changed.

    The messages to a pixel change by no more than its norm times what its simplex has `moved`, and
    then its beliefs q by no more than (1 - max q) * (exp(2 change) - 1). Pixels for which that is
    below `tolerance` since they were last computed keep their beliefs.

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
        Below 0: every pixel is computed, and its beliefs are splatted in place of their changes;
        they are stored in the last iteration alone.
    last : bool
        Nothing is splatted, since nobody slices it.

    Returns
    -------
    active : int
        Pixels that were computed.
    """
    places, near_values, near_moved, near_out = bilateral
    near, near_corners, near_weights, near_norms = places
    places, close_values, close_moved, close_out = gaussian
    close, close_corners, close_weights, close_norms = places
    width = len(groups) * LANES
    row = np.empty(width, np.float32)
    active, lazy = 0, tolerance >= 0
    for n in range(limits.shape[0]):
        i, j, at = near[n], close[n], n * width
        reach = near_norms[n] * near_moved[i] + close_norms[n] * close_moved[j]
        if reach <= limits[n]:
            continue
        active += 1
        for group in range(len(groups)):
            lane = group * LANES
            logit = load(logits, at + lane)
            logit = _slice_near(near_corners, near_weights, i, n, lane, width, near_values, logit)
            logit = _slice_close(
                close_corners, close_weights, j, n, lane, width, close_values, logit
            )
            store(row, lane, logit)
        highest = normalise(row, groups)
        if lazy:
            room = max(np.float32(1) - highest, np.float32(1e-7))
            limits[n] = reach + np.float32(0.5) * _log_below(np.float32(1) + tolerance / room)
        for group in range(len(groups)):
            lane = group * LANES
            belief = load(row, lane)
            change = belief
            if lazy:
                change = sub(belief, load(beliefs, at + lane))
            if lazy or last:
                store(beliefs, at + lane, belief)
            if not last:
                _splat_near(near_corners, near_weights, i, n, lane, width, near_out, change)
                _splat_close(close_corners, close_weights, j, n, lane, width, close_out, change)
    return active
