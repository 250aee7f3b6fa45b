"""Compiled loops of Pillow's resize; arguments are trusted (see `segserve.ops.resize_pillow`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_PIXELS = types.Array(types.uint8, 3, "C", readonly=True)
_OUT = types.float32[:, :, ::1]
_TABLE = types.float32[:, ::1]
_LONGS = types.int64[::1]
_SHARES = types.int32[:, ::1]

_HALF = np.int32(1 << 21)


@njit()
def _across(row, first, count, shares, lines):
    """Weigh a row's pixels [w, 3] for every column of the result: grey levels by channels."""
    for x in range(first.shape[0]):
        red = green = blue = _HALF
        for tap in range(count[x]):
            share = shares[x, tap]
            at = np.uintp(first[x] + tap)  # unsigned: no index is looked at twice for a sign
            red += np.int32(row[at, 0]) * share
            green += np.int32(row[at, 1]) * share
            blue += np.int32(row[at, 2]) * share
        lines[0, x] = np.int32(red) >> 22
        lines[1, x] = np.int32(green) >> 22
        lines[2, x] = np.int32(blue) >> 22


@njit()
def _add(line, share, totals):
    """Add a line's grey levels, weighed."""
    for x in range(totals.shape[0]):
        totals[x] += np.int32(line[x]) * share


@njit()
def _look_up(totals, values, target):
    """Round to grey levels and look them up."""
    for x in range(totals.shape[0]):
        target[x] = values[np.uint8(totals[x] >> 22)]


_ARGUMENTS = (_PIXELS, _LONGS, _LONGS, _SHARES, _LONGS, _LONGS, _SHARES, _TABLE, _LONGS, _OUT)


@njit([_ARGUMENTS])
def resize(pixels, first_y, count_y, shares_y, first_x, count_x, shares_x, table, order, out):
    """Resize to grey levels, look every one up and write it by planes.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
    first_y, count_y : int64 [H]
        First source row and number of rows that each row of the result looks at, rising.
    shares_y : int32 [H, at least the largest count]
        Their shares in 1 / 2**22, not negative.
    first_x, count_x, shares_x : [W]
    table : float32 [3, 256]
        A row for each plane of `out`.
    order : int64 [3]
        Which channel of `pixels` each plane takes.
    out : float32 [3, at least H, at least W]
        Its upper left part is written.
    """
    width = first_x.shape[0]
    height = pixels.shape[0]
    lines = np.empty((height, 3, width), dtype=np.uint8)
    totals = np.empty(width, dtype=np.int32)
    made = 0
    for y in range(first_y.shape[0]):
        last = first_y[y] + count_y[y]
        while made < last:
            _across(pixels[made], first_x, count_x, shares_x, lines[made])
            made += 1
        for plane in range(3):
            totals[:] = _HALF
            for tap in range(count_y[y]):
                _add(lines[first_y[y] + tap, order[plane]], shares_y[y, tap], totals)
            _look_up(totals, table[plane], out[plane, y, :width])


@njit([_ARGUMENTS])
def resize_down_first(
    pixels, first_y, count_y, shares_y, first_x, count_x, shares_x, table, order, out
):
    """Do as `resize` does with the passes swapped: columns to whole grey levels, then rows."""
    height, source_width, _ = pixels.shape
    width = first_x.shape[0]
    rows = pixels.reshape((height, source_width * 3))
    totals = np.empty(source_width * 3, dtype=np.int32)
    levels = np.empty(source_width * 3, dtype=np.uint8)
    row = levels.reshape((source_width, 3))
    lines = np.empty((3, width), dtype=np.uint8)
    for y in range(first_y.shape[0]):
        totals[:] = _HALF
        for tap in range(count_y[y]):
            _add(rows[first_y[y] + tap], shares_y[y, tap], totals)
        for x in range(totals.shape[0]):
            levels[x] = np.uint8(totals[x] >> 22)
        _across(row, first_x, count_x, shares_x, lines)
        for plane in range(3):
            values = table[plane]
            line = lines[order[plane]]
            for x in range(width):
                out[plane, y, x] = values[line[x]]
