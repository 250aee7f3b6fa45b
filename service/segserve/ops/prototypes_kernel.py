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
def _add_eight(sums, samples, at, step, weights, d):
    """Add eight rows of `samples`, the first of them at `at`, times their weights, to `sums`."""
    w0 = weights[d]
    w1 = weights[d + 1]
    w2 = weights[d + 2]
    w3 = weights[d + 3]
    w4 = weights[d + 4]
    w5 = weights[d + 5]
    w6 = weights[d + 6]
    w7 = weights[d + 7]
    one = samples[at:]
    two = samples[at + step :]
    three = samples[at + 2 * step :]
    four = samples[at + 3 * step :]
    five = samples[at + 4 * step :]
    six = samples[at + 5 * step :]
    seven = samples[at + 6 * step :]
    eight = samples[at + 7 * step :]
    for j in range(np.uint64(sums.shape[0])):
        low = w0 * one[j] + w1 * two[j] + w2 * three[j] + w3 * four[j]
        high = w4 * five[j] + w5 * six[j] + w6 * seven[j] + w7 * eight[j]
        sums[j] += low + high


@njit(fastmath={"contract"})
def _add_one(sums, row, weight):
    """Add one row, times its weight, to `sums`."""
    for j in range(sums.shape[0]):
        sums[j] += weight * row[j]


@njit()
def _sum_column(column, begin, weights, sums):
    """Write the weighted sum of the rows of `column` from `begin` on, as long as `sums`."""
    depth, tall = column.shape
    samples = column.reshape(depth * tall)
    sums[:] = 0
    d = 0
    while d + 8 <= depth:
        _add_eight(sums, samples, d * tall + begin, tall, weights, d)
        d += 8
    while d < depth:
        at = d * tall + begin
        _add_one(sums, samples[at : at + sums.shape[0]], weights[d])
        d += 1


@njit()
def _code(sums, low, high, codes):
    """Write 1 where a sum is surely out, 2 where it is surely in, else 0."""
    for j in range(sums.shape[0]):
        codes[j] = np.uint8(sums[j] < low) | (np.uint8(sums[j] > high) << 1)


@njit()
def _mark(west, middle, east, marks):
    """Set marks[j] to 1 where a sample of `middle`, or a neighbour of it, disagrees with the rest."""
    for j in range(1, middle.shape[0] - 1):
        upper = west[j - 1] & middle[j - 1] & east[j - 1]
        here = west[j] & middle[j] & east[j]
        lower = west[j + 1] & middle[j + 1] & east[j + 1]
        marks[j] = (upper & here & lower) == 0


@njit()
def _squash_edges(values, codes, rows, marks):
    """Replace sums by their sigmoids at the corners of every cell that is not decided.

    Parameters
    ----------
    values, codes
        Of one mask, column by column, with its border.
    rows : int
    marks : uint8 [at least rows, a multiple of 8]
        Zeros; left so.
    """
    words = marks.view(np.uint64)
    for at in range(rows, values.shape[0] - rows, rows):
        _mark(
            codes[at - rows : at],
            codes[at : at + rows],
            codes[at + rows : at + 2 * rows],
            marks[:rows],
        )
        for w in range((rows + 7) // 8):
            if words[w] != 0:
                for j in range(8 * w, 8 * w + 8):
                    if marks[j] != 0:
                        values[at + j] = ONE / (ONE + np.exp(-values[at + j]))
                words[w] = 0


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
    error_model="numpy",
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
    marks = np.zeros((tall + 9) // 8 * 8, dtype=np.uint8)
    for n in range(planes):
        r1, r2, c1, c2 = windows[n]
        rows = r2 - r1 + 2
        begin = begins[n]
        end = begin + rows * (c2 - c1 + 2)
        values[begin:end] = 0
        codes[begin:end] = zero_is_out
        for i in range(c1, c2):
            at = begin + (i - c1 + 1) * rows
            _sum_column(columns[i], r1, coefficients[n], values[at + 1 : at + rows - 1])
            _code(values[at + 1 : at + rows - 1], low, high, codes[at + 1 : at + rows - 1])
        _repeat_last(codes[begin:end], rows, r2 == tall, c2 == wide)
        _squash_edges(values[begin:end], codes[begin:end], rows, marks)
        _repeat_last(values[begin:end], rows, r2 == tall, c2 == wide)
    return values, codes, begins
