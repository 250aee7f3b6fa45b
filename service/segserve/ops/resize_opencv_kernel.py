"""Compiled loops of OpenCV's resize; arguments are trusted (see `segserve.ops.resize_opencv`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_PIXELS = types.Array(types.uint8, 3, "C", readonly=True)
_OUT = types.float32[:, :, ::1]
_TABLE = types.float32[:, ::1]
_LONGS = types.int64[::1]
_SHARES = types.int32[::1]


@njit()
def _across(pixels, y, low, high, low_share, high_share, line):
    """Interpolate one source row at every column of the result, by channels, times 2048 / 16."""
    red, green, blue = line[0], line[1], line[2]
    for x in range(low.shape[0]):
        west = np.uintp(low[x])  # unsigned: no index is looked at twice for a sign
        east = np.uintp(high[x])
        left = low_share[x]
        right = high_share[x]
        row = np.uintp(y)
        red[x] = (pixels[row, west, 0] * left + pixels[row, east, 0] * right) >> 4
        green[x] = (pixels[row, west, 1] * left + pixels[row, east, 1] * right) >> 4
        blue[x] = (pixels[row, west, 2] * left + pixels[row, east, 2] * right) >> 4


@njit()
def _mix(upper, lower, up, down, levels):
    """Interpolate between two lines: grey levels."""
    for x in range(levels.shape[0]):
        total = ((np.int32(upper[x]) * up) >> 16) + ((np.int32(lower[x]) * down) >> 16)
        levels[x] = (total + np.int32(2)) >> 2


@njit(
    [
        (
            _PIXELS,
            _LONGS,
            _LONGS,
            _SHARES,
            _SHARES,
            _LONGS,
            _LONGS,
            _SHARES,
            _SHARES,
            _TABLE,
            _LONGS,
            _OUT,
        ),
    ],
)
def resize(pixels, low_y, high_y, up, down, low_x, high_x, left, right, table, order, out):
    """Resize to grey levels, look every one up and write it by planes.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
    low_y, high_y : int64 [H]
        Neighbouring source rows of each row of the result, rising.
    up, down : int32 [H]
        Their shares in 1/2048.
    low_x, high_x, left, right : [W]
    table : float32 [3, 256]
        A row for each plane of `out`.
    order : int64 [3]
        Which channel of `pixels` each plane takes.
    out : float32 [3, at least H, at least W]
        Its upper left part is written.
    """
    width = low_x.shape[0]
    upper = np.empty((3, width), dtype=np.int32)
    lower = np.empty((3, width), dtype=np.int32)
    levels = np.empty(width, dtype=np.uint8)
    in_upper = -1
    in_lower = -1
    for y in range(low_y.shape[0]):
        if low_y[y] != in_upper:
            if low_y[y] == in_lower:
                upper, lower = lower, upper
                in_lower = in_upper
            else:
                _across(pixels, low_y[y], low_x, high_x, left, right, upper)
            in_upper = low_y[y]
        if high_y[y] != in_lower:
            _across(pixels, high_y[y], low_x, high_x, left, right, lower)
            in_lower = high_y[y]
        for plane in range(3):
            source = order[plane]
            _mix(upper[source], lower[source], up[y], down[y], levels)
            target = out[plane, y, :width]
            values = table[plane]
            for x in range(width):
                target[x] = values[levels[x]]


@njit([(_PIXELS, _TABLE, _LONGS, _OUT)])
def halve(pixels, table, order, out):
    """Give the mean of every 2x2 pixels, looked up; both sides of `pixels` are even."""
    for y in range(pixels.shape[0] // 2):
        for x in range(pixels.shape[1] // 2):
            for plane in range(3):
                c = order[plane]
                total = np.int32(pixels[2 * y, 2 * x, c]) + np.int32(pixels[2 * y, 2 * x + 1, c])
                total += np.int32(pixels[2 * y + 1, 2 * x, c])
                total += np.int32(pixels[2 * y + 1, 2 * x + 1, c])
                out[plane, y, x] = table[plane, (total + 2) >> 2]
