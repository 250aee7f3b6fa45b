"""Compiled steps of mean-field inference; arguments are trusted (`segserve.ops.crf.field`).

Labels stand in groups of eight lanes; rows of lattice values and of pixels are flat, `width` floats
each, a multiple of eight. One pass over the pixels slices both lattices, adds the unary term,
normalises and splats again (Kraehenbuehl and Koltun 2011, algorithm 1), so that beliefs need not be
stored between iterations.
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
    size,
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
_PLANES = types.Array(types.float32, 2, "C", readonly=True)
_FLAGS = types.boolean[::1]
_PLACES = types.Tuple((_INTS, _INT_ROWS, _WEIGHTS, _FLAT))
_NOWHERE = np.float32(-1e30)
_BLOCK = 64
FIVE, TWO = 6, 3


@njit()
def _likely(unary, label, begin, filled, lowest, threshold):
    """Tell if the label reaches the probability at a pixel of the block."""
    for i in range(filled):
        own = np.exp(lowest[i] - unary[label, begin + i])
        if own < threshold:
            continue
        whole = np.float32(0)
        for other in range(unary.shape[0]):
            whole += np.exp(lowest[i] - unary[other, begin + i])
        if own >= threshold * whole:
            return True
    return False


@njit(types.boolean(_PLANES, types.float32, _FLAGS))
def scan(unary, threshold, kept):
    """Find the labels that are at least `threshold` likely somewhere; tells if all is finite.

    Parameters
    ----------
    unary : float32 [C, N]
    threshold : float
        A probability.
    kept : bool [C]
        Filled.
    """
    labels, count = unary.shape
    floor = np.float32(np.log(threshold))
    lowest = np.empty(_BLOCK, np.float32)
    odd = np.zeros(_BLOCK, np.float32)
    for begin in range(0, count, _BLOCK):
        filled = min(_BLOCK, count - begin)
        row = unary[0, begin : begin + filled]
        for i in range(filled):
            lowest[i] = row[i]
        for label in range(labels):
            row = unary[label, begin : begin + filled]
            for i in range(filled):
                lowest[i] = min(row[i], lowest[i])
                odd[i] += row[i] * np.float32(0)
        for label in range(labels):
            if kept[label]:
                continue
            row = unary[label, begin : begin + filled]
            highest = floor
            for i in range(filled):
                highest = max(highest, lowest[i] - row[i])
            if highest > floor:
                kept[label] = _likely(unary, label, begin, filled, lowest, threshold)
    return odd.sum() == 0


@njit(types.void(_PLANES, types.int64[::1], types.int64, _FLAT))
def gather(unary, labels, width, rows):
    """Write minus the unary term of the kept labels, pixel by pixel; unused lanes never win."""
    for begin in range(0, unary.shape[1], _BLOCK):
        end = min(begin + _BLOCK, unary.shape[1])
        for lane in range(width):
            if lane < labels.shape[0]:
                label = labels[lane]
                for n in range(begin, end):
                    rows[n * width + lane] = -unary[label, n]
            else:
                for n in range(begin, end):
                    rows[n * width + lane] = _NOWHERE


@njit(types.void(_FLAT, types.int64[::1], types.int64, _WEIGHTS))
def scatter(rows, labels, width, planes):
    """Write rows of pixels back as planes of labels; other planes stay."""
    for begin in range(0, planes.shape[1], _BLOCK):
        end = min(begin + _BLOCK, planes.shape[1])
        for lane in range(labels.shape[0]):
            label = labels[lane]
            for n in range(begin, end):
                planes[label, n] = rows[n * width + lane]


@njit()
def _normalise(logits, width):
    """Replace a row of logits by its softmax, in place; gives the largest belief."""
    top = load(logits, 0)
    for lane in range(LANES, width, LANES):
        top = larger(top, load(logits, lane))
    highest = spread(largest(top))
    whole = spread(np.float32(0))
    for lane in range(0, width, LANES):
        part = exp(sub(load(logits, lane), highest))
        store(logits, lane, part)
        whole = add(whole, part)
    share = np.float32(1) / total(whole)
    for lane in range(0, width, LANES):
        store(logits, lane, mul(load(logits, lane), spread(share)))
    return share


@njit()
def _splat(places, n, width, values, change):
    """Add a pixel's row, weighted, to the vertices around it."""
    simplex, corners, weights, _ = places
    for k in range(corners.shape[1]):
        weight = spread(weights[n, k])
        at = np.int64(corners[simplex[n], k]) * width
        for lane in range(0, width, LANES):
            store(values, at + lane, fma(weight, load(change, lane), load(values, at + lane)))


@njit(types.void(_FLAT, types.int64, _PLACES, _PLACES, _FLAT, _FLAT, _FLAT))
def begin(logits, width, bilateral, gaussian, beliefs, to_bilateral, to_gaussian):
    """Normalise the unary terms alone, keep them as beliefs, and splat them."""
    row = np.empty(width, np.float32)
    for n in range(bilateral[0].shape[0]):
        for lane in range(0, width, LANES):
            store(row, lane, load(logits, n * width + lane))
        _normalise(row, width)
        for lane in range(0, width, LANES):
            store(beliefs, n * width + lane, load(row, lane))
        _splat(bilateral, n, width, to_bilateral, row)
        _splat(gaussian, n, width, to_gaussian, row)


@njit()
def _slice(places, n, width, values, row):
    """Add what the lattice holds at a pixel to its row."""
    simplex, corners, weights, _ = places
    for k in range(corners.shape[1]):
        weight = spread(weights[n, k])
        at = np.int64(corners[simplex[n], k]) * width
        for lane in range(0, width, LANES):
            store(row, lane, fma(weight, load(values, at + lane), load(row, lane)))


@njit(types.void(_FLAT, types.int64, types.int32[:, :, ::1], _FLAT))
def blur(values, width, pairs, other):
    """Blur along all axes; the result is in `values` for an even number of axes, else in `other`.

    Row 0 of both is zero and stays so.
    """
    half = spread(np.float32(0.5))
    for axis in range(pairs.shape[0]):
        for i in range(1, pairs.shape[1]):
            first = np.int64(pairs[axis, i, 0]) * width
            second = np.int64(pairs[axis, i, 1]) * width
            at = i * width
            for lane in range(0, width, LANES):
                beside = add(load(values, first + lane), load(values, second + lane))
                store(other, at + lane, fma(half, beside, load(values, at + lane)))
        values, other = other, values


@njit(types.void(_FLAT, types.int64, _FLAT, _FLAT, _FLAT))
def accumulate(blurred, width, scale, values, change):
    """Add blurred changes, times a factor for each label, to the values of the vertices.

    Parameters
    ----------
    change : float32 [M+1]
        Filled with the largest change of each vertex.
    """
    for i in range(change.shape[0]):
        most = spread(np.float32(0))
        for lane in range(0, width, LANES):
            step = mul(load(scale, lane), load(blurred, i * width + lane))
            at = i * width + lane
            store(values, at, add(load(values, at), step))
            most = larger(most, size(step))
        change[i] = largest(most)


@njit(types.void(_FLAT, types.int64, _FLAT))
def mix(values, width, matrix):
    """Multiply each row with a matrix of `width` x `width`, in place (column by column, flat)."""
    row = np.empty(width, np.float32)
    for at in range(0, values.shape[0], width):
        for lane in range(0, width, LANES):
            store(row, lane, spread(np.float32(0)))
        for label in range(width):
            value = spread(values[at + label])
            for lane in range(0, width, LANES):
                column = load(matrix, label * width + lane)
                store(row, lane, fma(value, column, load(row, lane)))
        for lane in range(0, width, LANES):
            store(values, at + lane, load(row, lane))


@njit(types.void(_INT_ROWS, _FLAT, _FLAT))
def bound(corners, change, moved):
    """Add to each simplex the largest change of its vertices."""
    for s in range(corners.shape[0]):
        most = np.float32(0)
        for k in range(corners.shape[1]):
            most = max(most, change[corners[s, k]])
        moved[s] += most


_STATE = types.Tuple((_PLACES, _FLAT, _FLAT, _FLAT))


@njit(
    types.int64(
        _FLAT, types.int64, _STATE, _STATE, _FLAT, _FLAT, types.float32, types.boolean,
    )
)  # fmt: skip
def update(logits, width, bilateral, gaussian, beliefs, limits, tolerance, last):
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
        Below 0: every pixel is computed.
    last : bool
        Nothing is splatted, since nobody slices it.

    Returns
    -------
    active : int
        Pixels that were computed.
    """
    near, near_values, near_moved, near_out = bilateral
    close, close_values, close_moved, close_out = gaussian
    row = np.empty(width, np.float32)
    active = 0
    for n in range(limits.shape[0]):
        reach = near[3][n] * near_moved[near[0][n]] + close[3][n] * close_moved[close[0][n]]
        if reach <= limits[n]:
            continue
        active += 1
        at = n * width
        for lane in range(0, width, LANES):
            store(row, lane, load(logits, at + lane))
        _slice(near, n, width, near_values, row)
        _slice(close, n, width, close_values, row)
        highest = _normalise(row, width)
        if tolerance >= 0:
            room = max(np.float32(1) - highest, np.float32(1e-7))
            limits[n] = reach + np.float32(0.5) * np.log(np.float32(1) + tolerance / room)
        for lane in range(0, width, LANES):
            new = load(row, lane)
            store(row, lane, sub(new, load(beliefs, at + lane)))
            store(beliefs, at + lane, new)
        if not last:
            _splat(near, n, width, near_out, row)
            _splat(close, n, width, close_out, row)
    return active
