"""ONNX nodes for the operators of `segserve.export.models.detection_ops`, and for stable sorting.

ONNX Runtime's NonMaxSuppression and RoiAlign compute what torchvision's operators do: suppression
by a strictly greater IoU, lower index first among equal scores, the same bilinear borders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.helper
import torch
from onnxscript import opset18 as op

# A score must be greater; every finite one is.
_LOWEST = float(np.finfo(np.float32).min)


def _constant(values: Any, dtype: str) -> Any:
    array = np.asarray(values, dtype)
    return op.Constant(value=onnx.numpy_helper.from_array(array))


def _nms_mask(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """NonMaxSuppression gives (group, class, row) of the kept; scatter them into a mask."""
    size = op.Shape(scores)
    chosen = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, _constant([1], "int64")),
        op.Gather(size, _constant([1], "int64"), axis=0),
        _constant([iou_threshold], "float32"),
        _constant([_LOWEST], "float32"),
    )
    where = op.Gather(chosen, _constant([0, 2], "int64"), axis=1)
    hits = op.Gather(op.Shape(where), _constant([0], "int64"), axis=0)
    nothing = op.Expand(_constant(False, "bool"), size)  # noqa: FBT003  a value
    return op.ScatterND(nothing, where, op.Expand(_constant(True, "bool"), hits))  # noqa: FBT003  same


def _pyramid_roi_align(  # noqa: PLR0913, PLR0917  an operator's schema is flat
    features: Sequence[Any],
    rois: Any,
    levels: Any,
    output_size: int,
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,  # noqa: FBT001  the operator's schema
) -> Any:
    """Pool each level's rows apart, then bring the rows back into their order."""

    def pooled(feature: Any, chosen: Any, scale: float) -> Any:
        image: Any = op.Squeeze(
            op.Gather(chosen, _constant([0], "int64"), axis=1), _constant([1], "int64")
        )
        index: Any = op.Cast(image, to=onnx.TensorProto.INT64)
        return op.RoiAlign(
            feature,
            op.Gather(chosen, _constant([1, 2, 3, 4], "int64"), axis=1),
            index,
            coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
            mode="avg",
            output_height=output_size,
            output_width=output_size,
            sampling_ratio=sampling_ratio,
            spatial_scale=scale,
        )

    if len(features) == 1:
        return pooled(features[0], rois, spatial_scales[0])
    rows, parts = [], []
    for level, (feature, scale) in enumerate(zip(features, spatial_scales, strict=True)):
        is_here = op.Equal(levels, _constant(level, "int64"))
        row = op.Squeeze(op.NonZero(is_here), _constant([0], "int64"))
        rows.append(row)
        parts.append(pooled(feature, op.Gather(rois, row, axis=0), scale))
    order = op.Concat(*rows, axis=0)
    count = op.Squeeze(op.Shape(order), _constant([0], "int64"))
    positions = op.Range(_constant(0, "int64"), count, _constant(1, "int64"))
    home = op.ScatterElements(op.Mul(order, _constant(0, "int64")), order, positions, axis=0)
    return op.Gather(op.Concat(*parts, axis=0), home, axis=0)


def _stable_sort(
    values: Any,
    stable: bool | None = None,  # noqa: ARG001, FBT001  the operator's schema
    dim: int = -1,
    descending: bool = False,  # noqa: FBT001, FBT002  same
) -> Any:
    """TopK of everything: ONNX gives the lower index first among equals, so it is stable."""
    length = op.Gather(op.Shape(values), _constant([dim], "int64"), axis=0)
    return op.TopK(values, length, axis=dim, largest=int(descending), sorted=1)


def translations() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Give the translation of every operator, for ``torch.onnx.export``."""
    from segserve.export.models import detection_ops  # noqa: F401, PLC0415  registers the operators

    operators = torch.ops.segserve
    return {
        operators.nms_mask.default: _nms_mask,
        operators.pyramid_roi_align.default: _pyramid_roi_align,
        torch.ops.aten.sort.stable: _stable_sort,
    }
