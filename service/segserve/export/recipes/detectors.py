"""What recipes of two-stage detectors have in common: tensors, and the official input rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance

if TYPE_CHECKING:
    from torch import nn

DETECTIONS = 100
"""Rows of an image: the official cap."""

_MAX_BATCH_SIZE = 4

_DETECTOR = {
    "family": "instance",
    "mask_rule": "box",
    "resize": "shortest_side:800,1333",
    "size_multiple": "32",
    "shape_policy": "exact",
    "pad_value": "mean",
    "image_input": "image",
    "image_size_input": "image_size",
    "nms": "greedy",
    "nms_iou_threshold": "0.5",
    "nms_proposal_iou_threshold": "0.7",
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


_DEFAULT_MASK_CELLS = 28


@dataclass(frozen=True)
class DetectorRecipe:
    """A two-stage detector with box-relative masks.

    Parameters
    ----------
    name, aliases, provenance
        See `Recipe`.
    network : str
        ``module:function`` that gives the network for a number of classes; opened late, as it
        opens torch.
    parameters : mapping of str to str
        Of the configuration.
    labels : tuple of str
    things : int
        Classes of the detector; 0: one for each label.
    mask_cells : int
        Sides of a mask.
    more_outputs : tuple of TensorSpec
        Behind the detections' columns.
    detections : int
        Rows of an image.
    max_batch_size : int
    """

    name: str
    aliases: tuple[str, ...]
    provenance: Provenance
    network: str
    parameters: Mapping[str, str]
    labels: tuple[str, ...]
    things: int = 0
    mask_cells: int = _DEFAULT_MASK_CELLS
    more_outputs: tuple[TensorSpec, ...] = ()
    detections: int = DETECTIONS
    max_batch_size: int = _MAX_BATCH_SIZE

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        module, _, function = self.network.partition(":")
        network: nn.Module = getattr(import_module(module), function)(
            self.things or len(self.labels)
        )
        return network.eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank pictures of different sizes in an input of 224 x 160 pixels."""
        sizes = np.array([[213, 160], [224, 131]], np.float32)
        return {"image": np.zeros((2, 3, 224, 160), np.float32), "image_size": sizes}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        rows = self.detections
        mask = (rows, self.mask_cells, self.mask_cells)
        return ExportConfig(
            inputs=(
                TensorSpec("image", DataType.FP32, (3, -1, -1)),
                TensorSpec("image_size", DataType.FP32, (2,)),
            ),
            outputs=(
                TensorSpec("boxes", DataType.FP32, (rows, 4)),
                TensorSpec("scores", DataType.FP32, (rows,)),
                TensorSpec("labels", DataType.INT64, (rows,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("masks", DataType.FP32, mask),
                *self.more_outputs,
            ),
            max_batch_size=self.max_batch_size,
            parameters=self.parameters,
            labels=self.labels,
        )
