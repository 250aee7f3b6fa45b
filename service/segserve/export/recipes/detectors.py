"""What recipes of two-stage detectors have in common: tensors, and the official input rules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig

DETECTIONS = 100
"""Rows of an image: the official cap."""

MAX_BATCH_SIZE = 4

_DETECTOR = {
    "family": "instance",
    "mask_rule": "box",
    "resize": "shortest_side:800,1333",
    "size_multiple": "32",
    "shape_policy": "exact",
    "pad_value": "mean",
    "image_input": "image",
    "image_size_input": "image_size",
}
TORCHVISION_INPUT: Mapping[str, str] = MappingProxyType(
    _DETECTOR
    | {
        "mask_paste": "torchvision",
        "size_rounding": "torchvision",
        "interpolation": "torch_bilinear",
        "normalise_first": "true",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
    }
)
"""``models/detection/transform.py``: normalised first, then resized as floats."""

DETECTRON2_INPUT: Mapping[str, str] = MappingProxyType(
    _DETECTOR
    | {
        "mask_paste": "detectron2",
        "size_rounding": "detectron2",
        "interpolation": "pillow_bilinear",
        "channel_order": "bgr",
        "scale": "1",
        "mean": "103.530,116.280,123.675",
        "std": "1,1,1",
    }
)
"""``engine/defaults.py``: grey levels resized by Pillow, then the mean taken off."""


def sample_inputs() -> Mapping[str, Array]:
    """Give two blank pictures of different sizes in an input of 224 x 160 pixels."""
    sizes = np.array([[213, 160], [224, 131]], np.float32)
    return {"image": np.zeros((2, 3, 224, 160), np.float32), "image_size": sizes}


def detector_config(
    parameters: Mapping[str, str],
    labels: tuple[str, ...],
    mask_cells: int,
    more_outputs: tuple[TensorSpec, ...] = (),
) -> ExportConfig:
    """Give the configuration of a detector with box-relative masks of `mask_cells` squared."""
    return ExportConfig(
        inputs=(
            TensorSpec("image", DataType.FP32, (3, -1, -1)),
            TensorSpec("image_size", DataType.FP32, (2,)),
        ),
        outputs=(
            TensorSpec("boxes", DataType.FP32, (DETECTIONS, 4)),
            TensorSpec("scores", DataType.FP32, (DETECTIONS,)),
            TensorSpec("labels", DataType.INT64, (DETECTIONS,)),
            TensorSpec("valid", DataType.BOOL, (DETECTIONS,)),
            TensorSpec("masks", DataType.FP32, (DETECTIONS, mask_cells, mask_cells)),
            *more_outputs,
        ),
        max_batch_size=MAX_BATCH_SIZE,
        parameters=parameters,
        labels=labels,
    )
