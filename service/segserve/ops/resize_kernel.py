"""Compiled loops of resize and normalise; arguments are trusted (see `segserve.ops.resize`)."""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take scratch as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.kernel_cache import njit

_PIXELS = types.Array(types.uint8, 3, "C", readonly=True)
_OUT = types.float32[:, :, ::1]
_TABLE = types.float32[:, ::1]
_LONGS = types.int64[::1]
_FLOATS = types.float32[::1]


@njit([(_PIXELS, _TABLE, _LONGS, _OUT)])
def normalise(pixels, table, order, out):
    """Look every value up and write it by planes.

    Parameters
    ----------
    pixels : uint8 [H, W, 3]
    table : float32 [3, 256]
        A row for each plane of `out`.
    order : int64 [3]
        Which channel of `pixels` each plane takes.
    out : float32 [3, at least H, at least W]
        Its upper left part is written.
    """
    height, width, _ = pixels.shape
    first = order[0]
    second = order[1]
    third = order[2]
    for y in range(height):
        for x in range(width):
            out[0, y, x] = table[0, pixels[y, x, first]]
            out[1, y, x] = table[1, pixels[y, x, second]]
            out[2, y, x] = table[2, pixels[y, x, third]]


@njit()
def _across(pixels, y, low_x, high_x, weights_x, line):
    """Interpolate one source row at every column of the result, by planes."""
    for x in range(low_x.shape[0]):
        west = low_x[x]
        east = high_x[x]
        right = weights_x[x]
        for c in range(3):
            a = np.float32(pixels[y, west, c])
            b = np.float32(pixels[y, east, c])
            line[c, x] = a + (b - a) * right


@njit()
def _mix(upper, lower, plane, down, scale, shift, out):
    """Interpolate between two lines, scale and shift."""
    for x in range(out.shape[0]):
        a = upper[plane, x]
        out[x] = (a + (lower[plane, x] - a) * down) * scale + shift


@njit(
    [
        (_PIXELS, _LONGS, _LONGS, _FLOATS, _LONGS, _LONGS, _FLOATS, _FLOATS, _FLOATS, _LONGS, _OUT),
    ],
)
def enlarge(pixels, low_y, high_y, weights_y, low_x, high_x, weights_x, scales, shifts, order, out):
    """Resize bilinearly and normalise, where each source row serves several rows of the result.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
    low_y, high_y : int64 [H]
        Neighbouring source rows of each row of the result, rising.
    weights_y : float32 [H]
        Share of the higher one.
    low_x, high_x, weights_x : [W]
    scales, shifts : float32 [3]
        Of each plane of `out`.
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
                in_lower = -1
            else:
                _across(pixels, low_y[y], low_x, high_x, weights_x, upper)
            in_upper = low_y[y]
        if high_y[y] != in_lower:
            _across(pixels, high_y[y], low_x, high_x, weights_x, lower)
            in_lower = high_y[y]
        for plane in range(3):
            source = order[plane]
            target = out[plane, y, :width]
            _mix(upper, lower, source, weights_y[y], scales[plane], shifts[plane], target)


@njit()
def _down(upper, lower, down, line):
    """Interpolate between two source rows, all channels side by side."""
    for i in range(line.shape[0]):
        a = np.float32(upper[i])
        line[i] = a + (np.float32(lower[i]) - a) * down


@njit(
    [
        (_PIXELS, _LONGS, _LONGS, _FLOATS, _LONGS, _LONGS, _FLOATS, _FLOATS, _FLOATS, _LONGS, _OUT),
    ],
)
def shrink(pixels, low_y, high_y, weights_y, low_x, high_x, weights_x, scales, shifts, order, out):
    """Do as `enlarge` does, rows first: cheaper when each source row serves one row of the result."""
    height, width, _ = pixels.shape
    rows = pixels.reshape((height, width * 3))
    line = np.empty(width * 3, dtype=np.float32)
    for y in range(low_y.shape[0]):
        _down(rows[low_y[y]], rows[high_y[y]], weights_y[y], line)
        for x in range(low_x.shape[0]):
            west = low_x[x] * 3
            east = high_x[x] * 3
            right = weights_x[x]
            for plane in range(3):
                a = line[west + order[plane]]
                b = line[east + order[plane]]
                out[plane, y, x] = (a + (b - a) * right) * scales[plane] + shifts[plane]
