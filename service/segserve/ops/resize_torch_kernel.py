"""Compiled loop of torch's resize; arguments are trusted (see `segserve.ops.resize_torch`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.bilinear_kernel import fma
from segserve.ops.kernel_cache import njit

_PIXELS = types.Array(types.uint8, 3, "C", readonly=True)
_OUT = types.float32[:, :, ::1]
_TABLE = types.float32[:, ::1]
_LONGS = types.int64[::1]
_FLOATS = types.float32[::1]


@njit()
def _across(pixels, y, low, high, weight, values, channel, line):
    """Look one channel of a source row up, and interpolate at every column of the result."""
    row = np.uintp(y)
    for x in range(low.shape[0]):
        west = np.uintp(low[x])  # unsigned: no index is looked at twice for a sign
        east = np.uintp(high[x])
        right = weight[x]
        left = np.float32(1) - right
        a = values[pixels[row, west, channel]]
        b = values[pixels[row, east, channel]]
        line[x] = fma(a, left, np.float32(b * right))


@njit()
def _planes_across(pixels, y, low, high, weight, table, order, lines):
    """Do as `_across` does for every plane."""
    for plane in range(3):
        channel = np.uintp(order[plane])
        _across(pixels, y, low, high, weight, table[plane], channel, lines[plane])


@njit(
    [(_PIXELS, _LONGS, _LONGS, _FLOATS, _LONGS, _LONGS, _FLOATS, _TABLE, _LONGS, _OUT)],
)
def resize(pixels, low_y, high_y, down, low_x, high_x, right, table, order, out):
    """Look grey levels up and interpolate what stands there.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
    low_y, high_y : int64 [H]
        Neighbouring source rows of each row of the result, rising.
    down : float32 [H]
        Share of the higher one.
    low_x, high_x, right : [W]
    table : float32 [3, 256]
        A row for each plane of `out`.
    order : int64 [3]
        Which channel of `pixels` each plane takes.
    out : float32 [3, at least H, at least W]
        Its upper left part is written.
    """
    width = low_x.shape[0]
    upper = np.empty((3, width), dtype=np.float32)
    lower = np.empty((3, width), dtype=np.float32)
    in_upper = -1
    in_lower = -1
    for y in range(low_y.shape[0]):
        if low_y[y] != in_upper:
            if low_y[y] == in_lower:
                upper, lower = lower, upper
                in_lower = in_upper
            else:
                _planes_across(pixels, low_y[y], low_x, high_x, right, table, order, upper)
            in_upper = low_y[y]
        if high_y[y] != in_lower:
            _planes_across(pixels, high_y[y], low_x, high_x, right, table, order, lower)
            in_lower = high_y[y]
        below = down[y]
        above = np.float32(1) - below
        for plane in range(3):
            target = out[plane, y, :width]
            top = upper[plane]
            bottom = lower[plane]
            for x in range(width):
                target[x] = fma(top[x], above, np.float32(bottom[x] * below))
