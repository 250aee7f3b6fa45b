"""Compiled preparation of box masks for tracing; arguments are trusted (see `segserve.ops.masks`).

Each mask is copied column by column, with a border of zeros, beside a code for every sample that
says whether it is surely below or above the threshold; and each box becomes two axes, which tell for
every pixel of its window between which samples it lies.
"""
# ruff: noqa: E501, PLR0917  the next line is one directive; kernels take what they write to as arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

import numpy as np
from numba import types

from segserve.ops.bilinear_kernel import largest_magnitude
from segserve.ops.kernel_cache import njit

_MASKS = types.Array(types.float32, 3, "C", readonly=True)
_BOXES = types.Array(types.float32, 2, "C", readonly=True)
_BOXES64 = types.Array(types.int64, 2, "C", readonly=True)
_PREPARED = types.Tuple(
    (
        types.float32[::1],
        types.uint8[::1],
        types.int64[:, ::1],
        types.float32[::1],
        types.int32[::1],
        types.float32[::1],
    )
)

GENERIC = 0
GRID = 1
SINGLE = 3
ONE = np.float32(1)
HALF = np.float32(0.5)
TWO = np.float32(2)
RELATIVE_MARGIN = np.float32(1e-5)
SMALL_SIDES_PX = 128


@njit()
def _copy_plane(mask, before, after, low, high, zero, values, codes):
    """Write a mask column by column, `before` and `after` zeros around it, and its codes."""
    rows = mask.shape[0] + before + after
    columns = mask.shape[1] + before + after
    values[: rows * columns] = 0
    codes[: rows * columns] = zero
    for i in range(mask.shape[1]):
        at = (i + before) * rows + before
        for j in range(mask.shape[0]):
            value = mask[j, i]
            values[at + j] = value
            codes[at + j] = np.uint8(value < low) | (np.uint8(value > high) << 1)


@njit()
def _grid_axis(begin, end, low_px, high_px, size, lows, weights):
    """Write detectron2's axis for pixels `begin` to `end` of a box from `low_px` to `high_px`.

    ``grid_sample`` with zeros around: samples before -2 and after `size` are zeros all the same.
    """
    extent = high_px - low_px
    half = np.float64(size) / 2
    for k in range(end - begin):
        centre = np.float32(begin + k) + HALF
        unit = (centre - low_px) / extent * TWO - ONE
        # multiply and subtract with a single rounding, as the fused instruction does
        at = np.float32(np.float64(unit + ONE) * half - 0.5)
        at = min(max(at, np.float32(-2)), np.float32(size))
        low = np.floor(at)
        lows[k] = np.int32(low)
        weights[k] = at - low


@njit()
def _torch_axis(skip, count, size, out_px, lows, weights):
    """Write torch's axis for `size` samples on `out_px` pixels, `count` of them after `skip`."""
    scale = np.float64(np.float32(size) / np.float32(out_px))
    for k in range(count):
        at = max(np.float32(scale * (np.float64(skip + k) + 0.5) - 0.5), np.float32(0))
        low = min(np.int64(at), size - 1)
        lows[k] = low
        weights[k] = min(max(at - np.float32(low), np.float32(0)), ONE)


@njit()
def _room(shapes, planes, samples):
    """Make the arrays that hold `planes` planes of `samples` samples each, and their axes."""
    total = 0
    for n in range(planes):
        shapes[n, 6] = total
        total += max(shapes[n, 3] - shapes[n, 2], 0)
        shapes[n, 7] = total
        total += max(shapes[n, 5] - shapes[n, 4], 0)
    values = np.empty(planes * samples, dtype=np.float32)
    codes = np.empty(planes * samples, dtype=np.uint8)
    lows = np.empty(total, dtype=np.int32)
    weights = np.empty(total, dtype=np.float32)
    return values, codes, lows, weights


@njit(
    _PREPARED(_MASKS, _BOXES, types.int64, types.int64, types.float32),
)
def prepare_grid(masks, boxes, height, width, threshold):
    """Prepare masks for detectron2's paste.

    Parameters
    ----------
    masks : float32 [N, h, w]
    boxes : float32 [N, 4]

    Returns
    -------
    values, codes, shapes, margins, lows, weights
        As `trace_planes` takes them; a box that is empty or not finite has an empty window.
    """
    planes, rows, columns = masks.shape
    tall = rows + 4
    samples = tall * (columns + 4)
    shapes = np.zeros((planes, 11), dtype=np.int64)
    margins = np.empty(planes, dtype=np.float32)
    for n in range(planes):
        x1, y1, x2, y2 = boxes[n]
        if x2 > x1 and y2 > y1 and np.isfinite(x2 - x1) and np.isfinite(y2 - y1):
            shapes[n, 2] = np.int64(min(max(np.floor(y1) - 1.0, 0.0), np.float64(height)))
            shapes[n, 3] = np.int64(max(min(np.ceil(y2) + 1.0, np.float64(height)), 0.0))
            shapes[n, 4] = np.int64(min(max(np.floor(x1) - 1.0, 0.0), np.float64(width)))
            shapes[n, 5] = np.int64(max(min(np.ceil(x2) + 1.0, np.float64(width)), 0.0))
    values, codes, lows, weights = _room(shapes, planes, samples)
    for n in range(planes):
        margin = largest_magnitude(masks[n]) * RELATIVE_MARGIN
        low = threshold - margin
        high = threshold + margin
        zero = np.uint8(low > 0) | (np.uint8(high < 0) << 1)
        at = n * samples
        _copy_plane(
            masks[n], 2, 2, low, high, zero, values[at : at + samples], codes[at : at + samples]
        )
        margins[n] = margin
        shapes[n, 0] = at
        shapes[n, 1] = tall
        shapes[n, 8] = 2
        shapes[n, 9] = 2
        shapes[n, 10] = GRID
        y1 = shapes[n, 2]
        y2 = shapes[n, 3]
        x1 = shapes[n, 4]
        x2 = shapes[n, 5]
        if y1 < y2 and x1 < x2:
            axis = shapes[n, 6]
            _grid_axis(y1, y2, boxes[n, 1], boxes[n, 3], rows, lows[axis:], weights[axis:])
            axis = shapes[n, 7]
            _grid_axis(x1, x2, boxes[n, 0], boxes[n, 2], columns, lows[axis:], weights[axis:])
    return values, codes, shapes, margins, lows, weights


@njit(
    _PREPARED(_MASKS, _BOXES64, types.int64, types.int64, types.float32),
)
def prepare_expanded(masks, boxes, height, width, threshold):
    """Prepare masks for torchvision's paste.

    Parameters
    ----------
    masks : float32 [N, h, w]
        Without the border of zeros.
    boxes : int64 [N, 4]
        Grown and cut to integers; x2 < x1 - 1 for none.

    Returns
    -------
    values, codes, shapes, margins, lows, weights
        As `trace_planes` takes them.
    """
    planes, rows, columns = masks.shape
    tall = rows + 3
    samples = tall * (columns + 3)
    shapes = np.zeros((planes, 11), dtype=np.int64)
    margins = np.empty(planes, dtype=np.float32)
    for n in range(planes):
        x1, y1, x2, y2 = boxes[n]
        shapes[n, 2] = max(y1, 0)
        shapes[n, 3] = min(y2 + 1, height)
        shapes[n, 4] = max(x1, 0)
        shapes[n, 5] = min(x2 + 1, width)
    values, codes, lows, weights = _room(shapes, planes, samples)
    for n in range(planes):
        margin = largest_magnitude(masks[n]) * RELATIVE_MARGIN
        low = threshold - margin
        high = threshold + margin
        zero = np.uint8(low > 0) | (np.uint8(high < 0) << 1)
        at = n * samples
        _copy_plane(
            masks[n], 1, 2, low, high, zero, values[at : at + samples], codes[at : at + samples]
        )
        margins[n] = margin
        tall_px = max(boxes[n, 3] - boxes[n, 1] + 1, 1)
        wide_px = max(boxes[n, 2] - boxes[n, 0] + 1, 1)
        shapes[n, 0] = at
        shapes[n, 1] = tall
        shapes[n, 10] = SINGLE if tall_px + wide_px <= SMALL_SIDES_PX else GENERIC
        y1 = shapes[n, 2]
        x1 = shapes[n, 4]
        if y1 < shapes[n, 3] and x1 < shapes[n, 5]:
            axis = shapes[n, 6]
            count = shapes[n, 3] - y1
            _torch_axis(y1 - boxes[n, 1], count, rows + 2, tall_px, lows[axis:], weights[axis:])
            axis = shapes[n, 7]
            count = shapes[n, 5] - x1
            _torch_axis(x1 - boxes[n, 0], count, columns + 2, wide_px, lows[axis:], weights[axis:])
    return values, codes, shapes, margins, lows, weights
