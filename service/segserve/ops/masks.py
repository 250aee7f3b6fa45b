"""Box-relative masks of detectors to masks of the whole image.

Source of the semantics: facebookresearch/detectron2 ``detectron2/layers/mask_ops.py``
(``paste_masks_in_image`` on a CPU, i.e. torch's ``grid_sample`` with ``align_corners=False`` and
zero padding on the pixels within one pixel of the box), and pytorch/vision
``torchvision/models/detection/roi_heads.py`` (``paste_masks_in_image``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import rle
from segserve.ops.tracing import Planes, trace

_RANK = 3
_FARTHEST_PX = 1 << 24
_NO_BOX = (0, 0, -2, -2)


def _kernel() -> Any:
    from segserve.ops import masks_kernel  # noqa: PLC0415  numba opens late

    return masks_kernel


def _sets_kernel() -> Any:
    from segserve.ops import rle_sets_kernel  # noqa: PLC0415  numba opens late

    return rle_sets_kernel


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
    planes = _kernel().prepare_grid(_floats(masks), _floats(boxes), height, width, threshold)
    return trace(Planes(*planes), height, width, threshold, strict=False)


def _floats(array: Array) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(array, dtype=np.float32)


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
        A box that is not finite, or farther than 2**24 pixels, gives an empty mask.

    Raises
    ------
    InvalidInput
        On wrong shapes.
    """
    _check(masks, boxes)
    near: npt.NDArray[np.bool_] = np.all(np.abs(boxes) < _FARTHEST_PX, axis=1, keepdims=True)
    scale = (masks.shape[-1] + 2) / masks.shape[-1]
    grown = expand_boxes(np.where(near, boxes, 0).astype(np.float32), scale)
    grown = np.ascontiguousarray(np.where(near, grown, np.array(_NO_BOX)))
    planes = _kernel().prepare_expanded(_floats(masks), grown, height, width, threshold)
    return trace(Planes(*planes), height, width, threshold, strict=True)


def tight_boxes(masks: Sequence[Rle]) -> npt.NDArray[np.float32]:
    """Give the tight box of each mask: float32 [N, 4], x1, y1, x2, y2, the last two exclusive.

    An empty mask has zeros.
    """
    heights = np.array([mask.height_px for mask in masks], dtype=np.int64)
    boxes: npt.NDArray[np.int64] = _sets_kernel().boxes_of_edges(*rle.to_edges(masks), heights)
    return boxes.astype(np.float32)


def areas(masks: Sequence[Rle]) -> npt.NDArray[np.int64]:
    """Count the set pixels of each mask, int64 [N]."""
    counted: npt.NDArray[np.int64] = _sets_kernel().areas_of_edges(*rle.to_edges(masks))
    return counted
