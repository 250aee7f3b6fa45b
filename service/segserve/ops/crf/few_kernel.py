"""The blur of changes at few of a lattice's vertices; arguments are trusted (`segserve.ops.crf.field`).

Gives the same bits as the sweep over all vertices (`segserve.ops.crf.field_kernel.send`): what it
leaves out is zero.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.crf.field_kernel import mix
from segserve.ops.crf.lanes_kernel import (
    LANES,
    add,
    fma,
    larger,
    largest,
    load,
    mul,
    pick,
    prefetch,
    size,
    spread,
    store,
)
from segserve.ops.kernel_cache import njit

_FLAT = types.float32[::1]
_INTS = types.int32[::1]
_INT_ROWS = types.int32[:, ::1]
_MARKS = types.uint8[::1]
MOST_OF = 4
"""Of the vertices the blur may reach one in so many; above that the sweep over all is faster."""
_SOON = 12


@njit()
def _touched(simplex, corners, computed, marks, rows):
    """List the vertices around some pixels, unless they are too many; gives their count."""
    flat, axes, count = corners.reshape(-1), corners.shape[1], 0
    for k in range(computed.shape[0]):
        if count + axes > rows.shape[0]:
            return count, False
        at = np.int64(pick(simplex, np.int64(pick(computed, k)))) * axes
        for corner in range(at, at + axes):
            row = pick(flat, corner)
            if marks[row] == 0:
                marks[row] = 1
                rows[count] = row
                count += 1
    return count, True


@njit()
def _widened(neighbours, pair, marks, rows, count):
    """Add the neighbours of the listed vertices along one axis, unless they are too many."""
    listed = count
    for k in range(listed):
        if count + 2 > rows.shape[0]:
            return count, False
        prefetch(neighbours, pair + 2 * np.int64(pick(rows, min(k + _SOON, listed - 1))))
        at = pair + 2 * np.int64(pick(rows, k))
        for side in range(2):
            row = pick(neighbours, at + side)
            if row != 0 and marks[row] == 0:
                marks[row] = 1
                rows[count] = row
                count += 1
    return count, True


@njit()
def _blur(work, width, neighbours, pair, rows, count, blurred):
    """Give, in the order of the list, each vertex with half of both neighbours added."""
    half = spread(np.float32(0.5))
    for k in range(count):
        soon = np.int64(pick(rows, min(k + _SOON, count - 1)))
        prefetch(neighbours, pair + 2 * soon)
        prefetch(work, soon * width)
        row = np.int64(pick(rows, k))
        own = row * width
        first = np.int64(pick(neighbours, pair + 2 * row)) * width
        second = np.int64(pick(neighbours, pair + 2 * row + 1)) * width
        for lane in range(0, width, LANES):
            beside = add(load(work, first + lane), load(work, second + lane))
            store(blurred, k * width + lane, fma(half, beside, load(work, own + lane)))


@njit()
def _accumulate(blurred, width, scale, rows, count, values, change):
    """Add what was blurred, times a factor for each label, to the values of the listed vertices."""
    for k in range(count):
        prefetch(values, np.int64(pick(rows, min(k + _SOON, count - 1))) * width)
        row, most = np.int64(pick(rows, k)), spread(np.float32(0))
        for lane in range(0, width, LANES):
            step = mul(load(scale, lane), load(blurred, k * width + lane))
            most = larger(most, size(step))
            to = row * width + lane
            store(values, to, add(load(values, to), step))
        change[row] = largest(most)


@njit(
    types.boolean(
        _FLAT, types.int64, types.int32[:, :, ::1], _INTS, _INT_ROWS, _INTS, _FLAT, _FLAT, _FLAT,
        _FLAT, _MARKS, _INTS, _FLAT,
    )
)  # fmt: skip
def send_few(
    work, width, pairs, simplex, corners, computed, scale, matrix, values, change, marks, rows,
    blurred,
):  # fmt: skip
    """Blur along all axes and add the result to the values of the vertices, where few changed.

    Parameters
    ----------
    work : float32 [rows * width]
        What was splatted by the computed pixels alone; zero afterwards.
    pairs, simplex, corners
        Of the lattice.
    computed : int32 [A]
        Pixels.
    scale, matrix, values, change
        As of `field_kernel.send`.
    marks : uint8 [rows]
        Zero, and so again afterwards.
    rows, blurred : int32 [m], float32 [m * width]
        Scratch, for as many vertices as may be reached.

    Returns
    -------
    done : bool
        False, and nothing is changed, where they are more.
    """
    axes = pairs.shape[0]
    reached = np.empty(axes, np.int64)
    neighbours, row = pairs.reshape(-1), np.empty(width, np.float32)
    count, done = _touched(simplex, corners, computed, marks, rows)
    for axis in range(axes):
        if done:
            pair = 2 * axis * pairs.shape[1]
            count, done = _widened(neighbours, pair, marks, rows, count)
            reached[axis] = count
    if done:
        for axis in range(axes):
            pair = 2 * axis * pairs.shape[1]
            _blur(work, width, neighbours, pair, rows, reached[axis], blurred)
            for k in range(reached[axis]):
                to, last = np.int64(pick(rows, k)) * width, axis == axes - 1
                for lane in range(0, width, LANES):
                    kept = spread(np.float32(0)) if last else load(blurred, k * width + lane)
                    store(work, to + lane, kept)
        if matrix.shape[0]:
            mix(blurred, 0, count * width, width, matrix, row)
        change[:] = 0
        _accumulate(blurred, width, scale, rows, count, values, change)
    for k in range(count):
        marks[rows[k]] = 0
    return done
