"""Compiled assembly of prototypes into planes for tracing; arguments are trusted.

A sample's side of the threshold is known from the sum alone, so the exponential is computed only for
samples beside an edge (see `segserve.ops.prototypes`).
"""
# ruff: noqa: E501  the next line is one directive; kernels take what they write to as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_FLOATS2 = types.Array(types.float32, 2, "C", readonly=True)
_FLOATS3 = types.Array(types.float32, 3, "C", readonly=True)
_LONGS2 = types.Array(types.int64, 2, "C", readonly=True)

ONE = np.float32(1)
_BLOCK = 16


@njit(types.float32[:, :, ::1](_FLOATS3))
def by_column(prototypes):
    """Copy prototypes [h, w, D] as [w, D, h], so that a column of one prototype is contiguous."""
    rows, columns, depth = prototypes.shape
    out = np.empty((columns, depth, rows), dtype=np.float32)
    for begin in range(0, rows, _BLOCK):
        end = min(begin + _BLOCK, rows)
        for i in range(columns):
            for d in range(depth):
                for j in range(begin, end):
                    out[i, d, j] = prototypes[j, i, d]
    return out


@njit(fastmath={"contract"})
def _add_four(sums, one, two, three, four, weights):
    """Add four rows of equal length, times their weights, to `sums`."""
    w0 = weights[0]
    w1 = weights[1]
    w2 = weights[2]
    w3 = weights[3]
    for j in range(sums.shape[0]):
        sums[j] += w0 * one[j] + w1 * two[j] + w2 * three[j] + w3 * four[j]


@njit(fastmath={"contract"})
def _add_one(sums, row, weight):
    """Add one row, times its weight, to `sums`."""
    for j in range(sums.shape[0]):
        sums[j] += weight * row[j]


@njit()
def _sum_column(column, begin, end, weights, sums):
    """Write the weighted sum of the rows ``column[:, begin:end]``."""
    depth = column.shape[0]
    sums[:] = 0
    d = 0
    while d + 4 <= depth:
        _add_four(
            sums,
            column[d, begin:end],
            column[d + 1, begin:end],
            column[d + 2, begin:end],
            column[d + 3, begin:end],
            weights[d : d + 4],
        )
        d += 4
    while d < depth:
        _add_one(sums, column[d, begin:end], weights[d])
        d += 1


@njit()
def _code(sums, low, high, codes):
    """Write 1 where a sum is surely out, 2 where it is surely in, else 0."""
    for j in range(sums.shape[0]):
        codes[j] = np.uint8(sums[j] < low) | (np.uint8(sums[j] > high) << 1)


@njit()
def _squash_edges(values, codes, rows):
    """Replace sums by their sigmoids at the corners of every cell that is not decided."""
    columns = values.shape[0] // rows
    for i in range(1, columns - 1):
        for j in range(1, rows - 1):
            at = i * rows + j
            inner = codes[at - 1] & codes[at] & codes[at + 1]
            west = codes[at - rows - 1] & codes[at - rows] & codes[at - rows + 1]
            east = codes[at + rows - 1] & codes[at + rows] & codes[at + rows + 1]
            if inner & west & east == 0:
                values[at] = ONE / (ONE + np.exp(-values[at]))


@njit()
def _repeat_last(samples, rows, last_row, last_column):
    """Copy the last inner row and column to the border, where asked."""
    if last_row:
        for i in range(samples.shape[0] // rows):
            samples[i * rows + rows - 1] = samples[i * rows + rows - 2]
    if last_column:
        border = samples.shape[0] - rows
        samples[border:] = samples[border - rows : border]


@njit(
    types.Tuple((types.float32[::1], types.uint8[::1], types.int64[::1]))(
        _FLOATS3, _FLOATS2, _LONGS2, types.float32, types.float32, types.boolean
    ),
)
def assemble(columns, coefficients, windows, low, high, zero_is_out):
    """Assemble every mask's samples, with a border of one sample around its window.

    Parameters
    ----------
    columns : float32 [w, D, h]
    coefficients : float32 [N, D]
    windows : int64 [N, 4]
        Rows and columns that are kept: first row, end, first column, end; the rest is zero.
    low, high : float32
        Sums below the first are surely out, above the second surely in.
    zero_is_out : bool
        Whether a sample that is zero is surely out.

    Returns
    -------
    values : float32 [...]
        Sigmoids where the threshold is near, column by column, one mask after the other. At the
        lower and right end of the prototypes the border repeats the last sample, as torch does.
    codes : uint8 [...]
    begins : int64 [N]
    """
    wide, _, tall = columns.shape
    planes = windows.shape[0]
    begins = np.zeros(planes, dtype=np.int64)
    total = 0
    for n in range(planes):
        begins[n] = total
        r1, r2, c1, c2 = windows[n]
        total += (r2 - r1 + 2) * (c2 - c1 + 2)
    values = np.empty(total, dtype=np.float32)
    codes = np.empty(total, dtype=np.uint8)
    for n in range(planes):
        r1, r2, c1, c2 = windows[n]
        rows = r2 - r1 + 2
        begin = begins[n]
        end = begin + rows * (c2 - c1 + 2)
        values[begin:end] = 0
        codes[begin:end] = zero_is_out
        for i in range(c1, c2):
            at = begin + (i - c1 + 1) * rows
            _sum_column(columns[i], r1, r2, coefficients[n], values[at + 1 : at + rows - 1])
            _code(values[at + 1 : at + rows - 1], low, high, codes[at + 1 : at + rows - 1])
        _repeat_last(codes[begin:end], rows, r2 == tall, c2 == wide)
        _squash_edges(values[begin:end], codes[begin:end], rows)
        _repeat_last(values[begin:end], rows, r2 == tall, c2 == wide)
    return values, codes, begins
