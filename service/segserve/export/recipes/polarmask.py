"""The recipe of PolarMask: xieenze/PolarMask's checkpoint of its R50 at 768."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80

if TYPE_CHECKING:
    from torch import nn

ROWS = 100
"""The official cap of objects in an image."""

RAYS = 36
"""Corners of a contour."""

_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "channel_order": "bgr",
        "mean": "102.9801,115.9465,122.7717",
        "resize": "stretch:768x1280",
        "interpolation": "opencv_bilinear",
        "shape_policy": "exact",
        "size_multiple": "32",
        "image_input": "image",
        "image_size_input": "source_size",
        "image_size_of": "source",
        "mask_rule": "contour",
        "nms": "greedy",
        "nms_iou_threshold": "0.5",
    }
)
_MAX_BATCH_SIZE = 8


@dataclass(frozen=True)
class PolarMaskRecipe:
    """The published network.

    Parameters
    ----------
    name, aliases, provenance
        See `Recipe`.
    """

    name: str
    aliases: tuple[str, ...]
    provenance: Provenance

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.polarmask import (  # noqa: PLC0415  torch opens late
            PolarMask,
            PolarShape,
        )

        return PolarMask(PolarShape()).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank pictures of different sizes in an input of 320 x 256 pixels."""
        sizes = np.array([[100, 200], [320, 160]], np.float32)
        return {"image": np.zeros((2, 3, 256, 320), np.float32), "source_size": sizes}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(
                TensorSpec("image", DataType.FP32, (3, -1, -1)),
                TensorSpec("source_size", DataType.FP32, (2,)),
            ),
            outputs=(
                TensorSpec("boxes", DataType.FP32, (ROWS, 4)),
                TensorSpec("scores", DataType.FP32, (ROWS,)),
                TensorSpec("labels", DataType.INT64, (ROWS,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("contours", DataType.FP32, (ROWS, 2, RAYS)),
            ),
            max_batch_size=_MAX_BATCH_SIZE,
            parameters=_PARAMETERS,
            labels=COCO_80,
        )


RECIPES: tuple[Recipe, ...] = (
    PolarMaskRecipe(
        name="polarmask_r50_768_1x",
        aliases=("polarmask", "polarmask_r50"),
        provenance=Provenance(
            source="xieenze/PolarMask@90c479856fa8aa1e2d519886df5a5f8a58a4aaf2",
            keys="backbone.*, neck.*, bbox_head.{*_convs,polar_*,scales_*}.*; under state_dict",
            input_rule="BGR, stretched to 1280 x 768 (OpenCV bilinear on uint8), minus mean",
            output_rule=(
                "in the graph: best 1000 points a level, score > 0.05, times centerness + 0.5, NMS "
                "0.5 within a class in source pixels, best 100; contours over the scale of each "
                "side, truncated, filled as OpenCV fills"
            ),
        ),
    ),
)
