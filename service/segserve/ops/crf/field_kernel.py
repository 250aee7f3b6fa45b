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
    smaller,
    spread,
    store,
    sub,
    total,
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
    flat, tail = unary.reshape(-1), np.empty(labels * _BLOCK, np.float32)
    lowest = np.empty(_BLOCK, np.float32)
    odd, zero, no_way = spread(np.float32(0)), spread(np.float32(0)), spread(_NOWHERE)
    for begin in range(0, count, _BLOCK):
        filled = min(_BLOCK, count - begin)
        planes, first, stride = flat, begin, count
        if filled < _BLOCK:
            for label in range(labels):
                for i in range(_BLOCK):
                    tail[label * _BLOCK + i] = unary[label, begin + min(i, filled - 1)]
            planes, first, stride = tail, 0, _BLOCK
        for i in range(0, _BLOCK, LANES):
            store(lowest, i, load(planes, first + i))
        for label in range(labels):
            for i in range(0, _BLOCK, LANES):
                row = load(planes, label * stride + first + i)
                odd = fma(row, zero, odd)
                store(lowest, i, smaller(row, load(lowest, i)))
        for label in range(labels):
            if kept[label]:
                continue
            highest = no_way
            for i in range(0, _BLOCK, LANES):
                row = load(planes, label * stride + first + i)
                highest = larger(sub(load(lowest, i), row), highest)
            if largest(highest) > floor:
                kept[label] = _likely(unary, label, begin, filled, lowest, threshold)
    return total(odd) == 0


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
def _blur(work, source, inside, target, outside, width, neighbours, pair, begin, end):
    """Add half of both neighbours to some rows.

    Row i lies at row `i & inside` from `source` on, and goes to row `i & outside` from `target` on.
    """
    half = spread(np.float32(0.5))
    if width == LANES:
        for i in range(begin, end):
            first = source + (np.int64(pick(neighbours, pair + 2 * i)) & inside) * LANES
            second = source + (np.int64(pick(neighbours, pair + 2 * i + 1)) & inside) * LANES
            own = load(work, source + (i & inside) * LANES)
            beside = add(load(work, first), load(work, second))
            store(work, target + (i & outside) * LANES, fma(half, beside, own))
        return
    for i in range(begin, end):
        first = source + (np.int64(pick(neighbours, pair + 2 * i)) & inside) * width
        second = source + (np.int64(pick(neighbours, pair + 2 * i + 1)) & inside) * width
        own, to = source + (i & inside) * width, target + (i & outside) * width
        for lane in range(0, width, LANES):
            beside = add(load(work, first + lane), load(work, second + lane))
            store(work, to + lane, fma(half, beside, load(work, own + lane)))


@njit()
def mix(work, begin, end, width, matrix, row):
    """Multiply some rows with a matrix of `width` x `width`, in place (column by column, flat)."""
    for at in range(begin, end, width):
        for lane in range(0, width, LANES):
            store(row, lane, spread(np.float32(0)))
        for label in range(width):
            value = spread(work[at + label])
            for lane in range(0, width, LANES):
                column = load(matrix, label * width + lane)
                store(row, lane, fma(value, column, load(row, lane)))
        for lane in range(0, width, LANES):
            store(work, at + lane, load(row, lane))


@njit()
def _accumulate(work, block, width, scale, values, change, begin, end):
    """Add some rows of what was blurred, times a factor for each label, to the values.

    Fills the largest change of each vertex.
    """
    for i in range(begin, end):
        most, at = spread(np.float32(0)), block + (i % ROWS_OF_A_BLOCK) * width
        for lane in range(0, width, LANES):
            step = mul(load(scale, lane), load(work, at + lane))
            most = larger(most, size(step))
            store(values, i * width + lane, add(load(values, i * width + lane), step))
        change[i] = largest(most)


@njit(
    types.void(
        _FLAT, types.int64, types.int64, types.int32[:, :, ::1], types.int64[::1], _FLAT, _FLAT,
        _FLAT, _FLAT,
    )
)  # fmt: skip
def send(work, ring, width, pairs, lags, scale, matrix, values, change):
    """Blur along all axes and add the result to the values of the vertices.

    Vertices are taken in blocks. An axis follows the one before it at a distance, in one sweep over
    the vertices: far enough to find all neighbours ready and to overwrite none that is still
    needed, near enough to find them in the cache. What axes write goes back and forth between the
    splatted rows and a ring, where a row takes the place of one that no axis needs any more.

    Parameters
    ----------
    work : float32 [(rows + ring + ROWS_OF_A_BLOCK) * width]
        What was splatted, which is zero afterwards; the ring; room for a block. Row 0 of the first
        is zero and stays so, as do rows whose number is a multiple of `ring`.
    ring : int
        A power of two.
    lags : int64 [d+2]
        By how many blocks each axis comes after the first one; last, the zeros.
    scale : float32 [width]
        A factor for each label.
    matrix : float32 [width * width] or empty
        What the labels are multiplied with before, column by column.
    values : float32 [rows * width]
        Changed in place.
    change : float32 [rows]
        Filled with the largest change of each vertex.
    """
    axes, rows = pairs.shape[0], pairs.shape[1]
    blocks = (rows - 1 + ROWS_OF_A_BLOCK - 1) // ROWS_OF_A_BLOCK
    neighbours, row = pairs.reshape(-1), np.empty(width, np.float32)
    aside, last = rows * width, (rows + ring) * width
    for step in range(blocks + lags[axes]):
        for axis in range(axes + 1):
            block = step - lags[axis]
            if block < 0 or block >= blocks:
                continue
            begin = 1 + block * ROWS_OF_A_BLOCK
            end = min(begin + ROWS_OF_A_BLOCK, rows)
            if axis == axes:
                for at in range(begin * width, end * width, LANES):
                    store(work, at, spread(np.float32(0)))
                continue
            source, inside, target, outside = 0, -1, aside, ring - 1
            if axis % 2:
                source, inside, target, outside = target, outside, source, inside
            if axis == axes - 1:
                target, outside = last, ROWS_OF_A_BLOCK - 1
            pair = 2 * axis * rows
            _blur(work, source, inside, target, outside, width, neighbours, pair, begin, end)
            if axis == axes - 1:
                if matrix.shape[0]:
                    mix(work, last, last + ROWS_OF_A_BLOCK * width, width, matrix, row)
                _accumulate(work, last, width, scale, values, change, begin, end)


@njit()
def _largest_of_three(places, at, change):
    first = pick(change, np.int64(pick(places, at)))
    second = pick(change, np.int64(pick(places, at + 1)))
    return max(first, second, pick(change, np.int64(pick(places, at + 2))))


@njit(types.void(_INT_ROWS, _FLAT, _FLAT))
def bound(corners, change, moved):
    """Add to each simplex the largest change of its vertices."""
    flat, axes = corners.reshape(-1), corners.shape[1]
    for s in range(corners.shape[0]):
        at = s * axes
        most = _largest_of_three(flat, at, change)
        for k in range(3, axes, 3):
            most = max(most, _largest_of_three(flat, at + k, change))
        moved[s] += most
