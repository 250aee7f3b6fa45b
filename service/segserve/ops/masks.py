"""Box-relative masks of detectors to masks of the whole image.

Source of the semantics: facebookresearch/detectron2 ``detectron2/layers/mask_ops.py``
(``paste_masks_in_image`` on a CPU, i.e. torch's ``grid_sample`` with ``align_corners=False`` and
zero padding on the pixels within one pixel of the box), and pytorch/vision
``torchvision/models/detection/roi_heads.py`` (``paste_masks_in_image``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import bilinear, rle

_RANK = 3


def _weights(begin: int, end: int, low: float, high: float, size: int) -> Array:
    """Give the share of each of `size` mask samples in each pixel of ``[begin, end)``.

    Returns
    -------
    weights : float32 [end - begin, size]
    """
    centres = np.arange(begin, end, dtype=np.float32) + np.float32(0.5)
    unit = (centres - np.float32(low)) / np.float32(high - low) * np.float32(2) - np.float32(1)
    at = ((unit + np.float32(1)) * np.float32(size) - np.float32(1)) / np.float32(2)
    distance = np.abs(at[:, None] - np.arange(size, dtype=np.float32))
    return np.maximum(np.float32(1) - distance, np.float32(0))


def _paste(mask: Array, box: Array, size: tuple[int, int], threshold: float) -> Array:
    height, width = size
    canvas = np.zeros(size, dtype=np.uint8)
    x1, y1, x2, y2 = (float(v) for v in box)
    if not (np.isfinite(box).all() and x2 > x1 and y2 > y1):
        return canvas
    begin_x, end_x = max(int(np.floor(x1)) - 1, 0), min(int(np.ceil(x2)) + 1, width)
    begin_y, end_y = max(int(np.floor(y1)) - 1, 0), min(int(np.ceil(y2)) + 1, height)
    if begin_x >= end_x or begin_y >= end_y:
        return canvas
    rows = _weights(begin_y, end_y, y1, y2, mask.shape[0])
    columns = _weights(begin_x, end_x, x1, x2, mask.shape[1])
    canvas[begin_y:end_y, begin_x:end_x] = rows @ mask @ columns.T >= threshold
    return canvas


def paste_boxes_to_rle(
    masks: Array, boxes: Array, height: int, width: int, threshold: float = 0.5
) -> tuple[Rle, ...]:
    """Paste each mask into its box and encode the result at image size.

    Parameters
    ----------
    masks : float32 [N, m, m]
        Probabilities, box-relative.
    boxes : float32 [N, 4]
        x1, y1, x2, y2 in pixels of the image; parts outside of the image are cut off.
    height, width : int
        Of the image.
    threshold : float
        A pixel is set when its interpolated probability is not less.

    Returns
    -------
    rles : tuple of Rle, length N
        A box that is empty or not finite gives an empty mask.

    Raises
    ------
    InvalidInput
        On wrong shapes.
    """
    _check(masks, boxes)
    masks = masks.astype(np.float32, copy=False)
    size = (height, width)
    return tuple(
        rle.encode(_paste(mask, box, size, threshold))
        for mask, box in zip(masks, boxes, strict=True)
    )


def _check(masks: Array, boxes: Array) -> None:
    if masks.ndim != _RANK or boxes.shape != (len(masks), 4) or 0 in masks.shape[1:]:
        raise InvalidInput(
            f"expected masks [N, m, m] and boxes [N, 4], got {list(masks.shape)} and "
            f"{list(boxes.shape)}"
        )


def expand_boxes(boxes: Array, scale: float) -> npt.NDArray[np.int64]:
    """Grow boxes about their centres and cut their corners to integers, as torchvision does.

    Parameters
    ----------
    boxes : float32 [N, 4]
        Finite.
    scale : float

    Returns
    -------
    boxes : int64 [N, 4]
        Corners cut towards zero.
    """
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5)
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = half * np.float32(scale)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def paste_expanded_boxes_to_rle(
    masks: Array, boxes: Array, height: int, width: int, threshold: float = 0.5
) -> tuple[Rle, ...]:
    """Paste each mask into its box as torchvision does, and encode the result at image size.

    The mask gets a border of one zero, its box grows accordingly and is cut to integers, and the
    mask is interpolated to the whole pixels of that box.

    Parameters
    ----------
    masks : float32 [N, m, m]
        Probabilities, box-relative.
    boxes : float32 [N, 4]
        x1, y1, x2, y2 in pixels of the image; parts outside of the image are cut off.
    height, width : int
        Of the image.
    threshold : float
        A pixel is set when its interpolated probability is greater.

    Returns
    -------
    rles : tuple of Rle, length N
        A box that is not finite gives an empty mask.

    Raises
    ------
    InvalidInput
        On wrong shapes.
    """
    _check(masks, boxes)
    padded = np.pad(masks.astype(np.float32, copy=False), ((0, 0), (1, 1), (1, 1)))
    finite = np.isfinite(boxes).all(axis=1)
    grown = expand_boxes(
        np.where(finite[:, None], boxes, 0).astype(np.float32), padded.shape[-1] / masks.shape[-1]
    )
    found = []
    for mask, box, usable in zip(padded, grown.tolist(), finite.tolist(), strict=True):
        canvas = np.zeros((height, width), dtype=np.uint8)
        if usable:
            _paste_whole_pixels(canvas, mask, box, threshold)
        found.append(rle.encode(canvas))
    return tuple(found)


def _paste_whole_pixels(canvas: Array, mask: Array, box: list[int], threshold: float) -> None:
    height, width = canvas.shape
    x1, y1, x2, y2 = box
    rows, columns = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = min(x2 + 1, width), min(y2 + 1, height)
    if left >= right or top >= bottom:
        return
    resized = bilinear.resize(mask[None], rows, columns)[0, top - y1 : bottom - y1]
    canvas[top:bottom, left:right] = resized[:, left - x1 : right - x1] > np.float32(threshold)


def tight_boxes(masks: Sequence[Rle]) -> npt.NDArray[np.float32]:
    """Give the tight box of each mask: float32 [N, 4], x1, y1, x2, y2, the last two exclusive.

    An empty mask has zeros.
    """
    boxes = [rle.to_bbox(mask) for mask in masks]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def areas(masks: Sequence[Rle]) -> npt.NDArray[np.int64]:
    """Count the set pixels of each mask, int64 [N]."""
    return np.array([rle.area(mask) for mask in masks], dtype=np.int64)
