"""Masks as sums of prototypes: YOLACT.

Source of the semantics: dbolya/yolact ``layers/output_utils.py`` (``postprocess``) and
``layers/box_utils.py`` (``crop``, ``sanitize_coordinates``).
"""

from __future__ import annotations

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import bilinear, rle
from segserve.ops.bilinear import Floats

_RANK = 3
_PADDING = np.float32(1)


def crop_limits(boxes: Array, height: int, width: int) -> Floats:
    """Give the part of the prototypes that each box keeps: samples with low <= index < high.

    Parameters
    ----------
    boxes : float32 [N, 4]
        x1, y1, x2, y2 relative to the picture, in any order.

    Returns
    -------
    limits : float32 [N, 4]
        x1, y1, x2, y2 in samples: ordered, one sample wider on each side, inside.
    """
    sizes = np.array([width, height], dtype=np.float32)
    corners = boxes.astype(np.float32, copy=False).reshape(-1, 2, 2) * sizes
    low = np.maximum(corners.min(axis=1) - _PADDING, 0)
    high = np.minimum(corners.max(axis=1) + _PADDING, sizes)
    limits: Floats = np.concatenate([low, high], axis=1)
    return limits


def assemble_prototypes_to_rle(
    prototypes: Array,
    coefficients: Array,
    boxes: Array,
    height: int,
    width: int,
    threshold: float = 0.5,
) -> tuple[Rle, ...]:
    """Assemble one mask per row of coefficients and encode it at image size.

    A mask is the sigmoid of the weighted sum of the prototypes, zero outside of its box (widened
    by one sample on each side), interpolated bilinearly to the image.

    Parameters
    ----------
    prototypes : float32 [h, w, D]
    coefficients : float32 [N, D]
    boxes : float32 [N, 4]
        x1, y1, x2, y2 relative to the picture, 0 to 1.
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
        On wrong shapes or sizes.
    """
    _check(prototypes, coefficients, boxes)
    rows, columns = prototypes.shape[:2]
    limits = crop_limits(boxes, rows, columns)
    y, x = np.arange(rows)[:, None], np.arange(columns)
    found = []
    for weights, (x1, y1, x2, y2) in zip(coefficients, limits, strict=True):
        inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        sums = np.where(inside, prototypes @ weights, np.float32(-np.inf))
        with np.errstate(over="ignore"):
            mask = (1 / (1 + np.exp(-sums))).astype(np.float32)
        resized = bilinear.resize(mask[None], height, width)[0]
        found.append(rle.encode(resized > np.float32(threshold)))
    return tuple(found)


def _check(prototypes: Array, coefficients: Array, boxes: Array) -> None:
    if (
        prototypes.ndim != _RANK
        or 0 in prototypes.shape
        or coefficients.shape != (len(boxes), prototypes.shape[2])
        or boxes.shape != (len(coefficients), 4)
    ):
        raise InvalidInput(
            f"expected prototypes [h, w, D], coefficients [N, D] and boxes [N, 4], got "
            f"{list(prototypes.shape)}, {list(coefficients.shape)} and {list(boxes.shape)}"
        )
