"""Compiled steps of mean-field inference beside the pass over pixels; arguments are trusted (`segserve.ops.crf.field`).

Labels stand in groups of eight lanes; rows of lattice values and of pixels are flat, `width` floats
each, a multiple of eight.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.lanes_kernel import (
    LANES,
    add,
    fma,
    larger,
    largest,
    load,
    mul,
    pick,
    size,
    spread,
    store,
)
from segserve.ops.kernel_cache import njit

_FLAT = types.float32[::1]
_INT_ROWS = types.int32[:, ::1]
_WEIGHTS = types.float32[:, ::1]
_PLANES = types.Array(types.float32, 2, "C", readonly=True)
_FLAGS = types.boolean[::1]
_NOWHERE = np.float32(-1e30)
_BLOCK = 64
ROWS_OF_A_BLOCK = 256
"""Vertices that are blurred along one axis before the next axis has its turn."""


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
def _blur(values, other, width, neighbours, pair, begin, end):
    """Blur some rows along one axis, from `values` to `other`; `pair` is that of row 0."""
    half = spread(np.float32(0.5))
    if width == LANES:
        for i in range(begin, end):
            first = np.int64(pick(neighbours, pair + 2 * i)) * LANES
            second = np.int64(pick(neighbours, pair + 2 * i + 1)) * LANES
            beside = add(load(values, first), load(values, second))
            store(other, i * LANES, fma(half, beside, load(values, i * LANES)))
        return
    for i in range(begin, end):
        first = np.int64(pick(neighbours, pair + 2 * i)) * width
        second = np.int64(pick(neighbours, pair + 2 * i + 1)) * width
        for lane in range(0, width, LANES):
            beside = add(load(values, first + lane), load(values, second + lane))
            at = i * width + lane
            store(other, at, fma(half, beside, load(values, at)))


@njit()
def _mix(values, width, matrix, row, begin, end):
    """Multiply some rows with a matrix of `width` x `width`, in place (column by column, flat)."""
    for at in range(begin * width, end * width, width):
        for lane in range(0, width, LANES):
            store(row, lane, spread(np.float32(0)))
        for label in range(width):
            value = spread(values[at + label])
            for lane in range(0, width, LANES):
                column = load(matrix, label * width + lane)
                store(row, lane, fma(value, column, load(row, lane)))
        for lane in range(0, width, LANES):
            store(values, at + lane, load(row, lane))


@njit()
def _accumulate(blurred, width, scale, values, change, begin, end):
    """Add some rows of what was blurred, times a factor for each label, to the values; clear them.

    Fills the largest change of each vertex.
    """
    nothing = spread(np.float32(0))
    for i in range(begin, end):
        most = nothing
        for lane in range(0, width, LANES):
            at = i * width + lane
            step = mul(load(scale, lane), load(blurred, at))
            store(blurred, at, nothing)
            most = larger(most, size(step))
            store(values, at, add(load(values, at), step))
        change[i] = largest(most)


@njit(
    types.void(
        _FLAT, _FLAT, types.int64, types.int32[:, :, ::1], types.int64[::1], _FLAT, _FLAT, _FLAT,
        _FLAT,
    )
)  # fmt: skip
def send(splatted, other, width, pairs, lags, scale, matrix, values, change):
    """Blur along all axes and add the result to the values of the vertices.

    Vertices are taken in blocks. An axis follows the one before it at a distance, in one sweep over
    the vertices: far enough to find all neighbours ready and to overwrite none that is still
    needed, near enough to find them in the cache.

    Parameters
    ----------
    splatted, other : float32 [(M+1) * width]
        What is blurred goes back and forth between them. The second one for an odd number of axes,
        else the first, is zero afterwards. Row 0 of both is zero and stays so.
    lags : int64 [d+1]
        By how many blocks each axis comes after the first one.
    scale : float32 [width]
        A factor for each label.
    matrix : float32 [width * width] or empty
        What the labels are multiplied with before, column by column.
    values : float32 [(M+1) * width]
        Changed in place.
    change : float32 [M+1]
        Filled with the largest change of each vertex.
    """
    axes, rows = pairs.shape[0], pairs.shape[1]
    blocks = (rows - 1 + ROWS_OF_A_BLOCK - 1) // ROWS_OF_A_BLOCK
    neighbours, row = pairs.reshape(-1), np.empty(width, np.float32)
    for step in range(blocks + lags[axes - 1]):
        for axis in range(axes):
            block = step - lags[axis]
            if block < 0 or block >= blocks:
                continue
            begin = 1 + block * ROWS_OF_A_BLOCK
            end = min(begin + ROWS_OF_A_BLOCK, rows)
            if axis % 2:
                _blur(other, splatted, width, neighbours, 2 * axis * rows, begin, end)
            else:
                _blur(splatted, other, width, neighbours, 2 * axis * rows, begin, end)
            if axis == axes - 1:
                blurred = splatted if axes % 2 == 0 else other
                if matrix.shape[0]:
                    _mix(blurred, width, matrix, row, begin, end)
                _accumulate(blurred, width, scale, values, change, begin, end)


@njit(types.void(_INT_ROWS, _FLAT, _FLAT))
def bound(corners, change, moved):
    """Add to each simplex the largest change of its vertices."""
    flat, axes = corners.reshape(-1), corners.shape[1]
    for s in range(corners.shape[0]):
        most = np.float32(0)
        for k in range(axes):
            most = max(most, pick(change, np.int64(pick(flat, s * axes + k))))
        moved[s] += most
