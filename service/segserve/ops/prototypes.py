"""Masks as sums of prototypes: YOLACT.

Source of the semantics: dbolya/yolact ``layers/output_utils.py`` (``postprocess``) and
``layers/box_utils.py`` (``crop``, ``sanitize_coordinates``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops.bilinear import Axis, Floats, count_of_lanes, torch_axis
from segserve.ops.tracing import (
    ORDER_GENERIC,
    ORDER_LANES,
    ORDER_SINGLE,
    RELATIVE_MARGIN,
    Longs,
    Planes,
    trace,
)

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
        x1, y1, x2, y2 in samples: ordered, one sample wider on each side, inside. NaN for a box
        that is not finite.
    """
    sizes = np.array([width, height], dtype=np.float32)
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(boxes), axis=1, keepdims=True)
    corners = np.where(finite, boxes, np.nan).reshape(-1, 2, 2).astype(np.float32) * sizes
    low = np.clip(corners.min(axis=1) - _PADDING, 0, sizes)
    high = np.clip(corners.max(axis=1) + _PADDING, 0, sizes)
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
    by one sample on each side), interpolated bilinearly to the image. Sums and exponentials may
    differ from torch's in the last bit, so that rare single pixels do.

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
        On wrong shapes or sizes, or a threshold below 0.
    """
    _check(prototypes, coefficients, boxes)
    if threshold < 0 or min(height, width) < 1:
        raise InvalidInput(
            f"expected a threshold from 0 on and an image of 1x1 at least, got {threshold} and "
            f"{height}x{width}"
        )
    windows = _windows(crop_limits(boxes, *prototypes.shape[:2]))
    kernel = _kernel()
    values, codes, begins = kernel.assemble(
        kernel.by_column(np.ascontiguousarray(prototypes, dtype=np.float32)),
        np.ascontiguousarray(coefficients, dtype=np.float32),
        windows,
        *(_sum_at(threshold + side * RELATIVE_MARGIN) for side in (-2, 2)),
        threshold > RELATIVE_MARGIN,
    )
    y, x = torch_axis(prototypes.shape[0], height), torch_axis(prototypes.shape[1], width)
    planes = Planes(
        values,
        codes,
        _shapes(begins, windows, y, x),
        np.full(len(windows), RELATIVE_MARGIN, dtype=np.float32),
        np.concatenate([y.low, x.low]).astype(np.int32),
        np.concatenate([y.weight, x.weight]),
    )
    return trace(planes, height, width, threshold, strict=True)


def _kernel() -> Any:
    from segserve.ops import prototypes_kernel  # noqa: PLC0415  numba opens late

    return prototypes_kernel


def _sum_at(probability: float) -> float:
    """Give the sum whose sigmoid is `probability`."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _windows(limits: Floats) -> Longs:
    """First row, end, first column, end of the samples that each box keeps; zeros for none."""
    x1, y1, x2, y2 = np.ceil(np.nan_to_num(limits)).astype(np.int64).T
    windows = np.stack([y1, y2, x1, x2], axis=1)
    kept = np.isfinite(limits).all(axis=1) & (y1 < y2) & (x1 < x2)
    return np.where(kept[:, None], windows, 0)


def _shapes(begins: Longs, windows: Longs, y: Axis, x: Axis) -> Longs:
    """Describe planes with a border of one sample, on axes that all share (`Planes.shapes`)."""
    r1, r2, c1, c2 = windows.T
    some = r1 < r2
    y1, y2 = np.searchsorted(y.low, r1 - 1), np.searchsorted(y.low, r2 - 1, side="right")
    x1, x2 = np.searchsorted(x.low, c1 - 1), np.searchsorted(x.low, c2 - 1, side="right")
    lanes = count_of_lanes(len(windows), len(y.low), len(x.low))
    order = np.full(len(windows), ORDER_GENERIC)
    if lanes >= 0:
        order[:lanes], order[lanes:] = ORDER_LANES, ORDER_SINGLE
    columns = (
        begins,
        r2 - r1 + 2,
        y1,
        y2 * some,
        x1,
        x2 * some,
        y1,
        x1 + len(y.low),
        1 - r1,
        1 - c1,
        order,
    )
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.int64)


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
