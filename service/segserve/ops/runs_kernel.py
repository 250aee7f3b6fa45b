"""Compiled search for the runs of a label map in column order; arguments are trusted.

A map lies row by row in memory while COCO counts column by column, so no loop here walks down a
column: changes against the pixel above are found along rows, counted per column, and scattered to
their places in column order.
"""
# ruff: noqa: E501  the next line is one directive
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from segserve.ops.kernel_cache import njit

_U8 = types.Array(types.uint8, 2, "C", readonly=True)
_U16 = types.Array(types.uint16, 2, "C", readonly=True)
_LONGS = types.int64[::1]


@intrinsic
def _lowest_bit(typingctx, word):  # noqa: ARG001  the signature numba calls
    """Give the index of the lowest set bit of a uint64 that is not zero."""

    def generate(context, builder, signature, args):  # noqa: ARG001  likewise
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit()
def _mark_changes(row, above, marks):
    """Set marks[x] to 1 where row[x] differs from above[x]; both have equal length."""
    for x in range(row.shape[0]):
        marks[x] = np.uint8(row[x] != above[x])


@njit()
def _longer(array):
    """Copy `array` into one twice as long."""
    longer = np.empty(2 * array.shape[0], dtype=array.dtype)
    longer[: array.shape[0]] = array
    return longer


@njit()
def _list_marks(words, y, xs, ys, n):
    """Append the set bytes of one row's marks to the lists; gives their new length."""
    for word in range(words.shape[0]):
        left = words[word]
        while left != 0:
            xs[n] = word * 8 + np.int64(_lowest_bit(left) >> np.uint64(3))
            ys[n] = y
            left &= left - np.uint64(1)
            n += 1
    return n


@njit()
def _find_changes(labels, counts):
    """List where a pixel differs from the one above it, row by row, and add to `counts` by column.

    Returns
    -------
    xs, ys : int32 [at least n]
    n : int
    """
    height, width = labels.shape
    words_per_row = (width + 7) // 8
    marks = np.zeros(words_per_row * 8, dtype=np.uint8)
    words = marks.view(np.uint64)
    xs = np.empty(4096, dtype=np.int32)
    ys = np.empty(4096, dtype=np.int32)
    n = 0
    for y in range(1, height):
        _mark_changes(labels[y], labels[y - 1], marks)
        while n + width > xs.shape[0]:
            xs = _longer(xs)
            ys = _longer(ys)
        n = _list_marks(words, y, xs, ys, n)
    for i in range(n):
        counts[xs[i]] += 1
    return xs, ys, n


@njit([(_U8,), (_U16,)])
def find_runs(labels):
    """Find the starts of the runs of equal value in column order.

    Parameters
    ----------
    labels : uint8 or uint16 [H, W], C-contiguous, H and W at least 1

    Returns
    -------
    starts : int64 [R]
        Column-major positions, rising; the first is 0.
    values : like labels [R]
    """
    height, width = labels.shape
    places = np.zeros(width, dtype=np.int64)
    xs, ys, n = _find_changes(labels, places)
    first = labels[0]
    last = labels[height - 1]
    starts = np.empty(n + width, dtype=np.int64)
    values = np.empty(n + width, dtype=labels.dtype)
    total = 0
    for x in range(width):
        here = places[x]
        if x == 0 or first[x] != last[x - 1]:
            starts[total] = x * height
            values[total] = first[x]
            total += 1
        places[x] = total
        total += here
    for i in range(n):
        x = xs[i]
        y = ys[i]
        place = places[x]
        starts[place] = np.int64(x) * height + y
        values[place] = labels[y, x]
        places[x] = place + 1
    return starts[:total], values[:total]


@njit(
    [(_LONGS, v[::1], types.int64, types.int64) for v in (types.uint8, types.uint16)],
)
def areas_of_runs(starts, values, total, size):
    """Pixels (int64) and runs (int64) of each value below `size`."""
    areas = np.zeros(size, dtype=np.int64)
    runs = np.zeros(size, dtype=np.int64)
    for i in range(starts.shape[0]):
        end = starts[i + 1] if i + 1 < starts.shape[0] else total
        areas[values[i]] += end - starts[i]
        runs[values[i]] += 1
    return areas, runs
