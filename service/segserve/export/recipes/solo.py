"""Recipes of the SOLO family: WXinlong/SOLO's checkpoints of SOLO, Decoupled SOLO and SOLOv2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.coco_labels import COCO_80

if TYPE_CHECKING:
    from torch import nn

Network = Literal["solo", "decoupled_solo", "solov2"]

ROWS = 100
"""The official cap of objects in an image."""

_SOURCE = "WXinlong/SOLO@f4cd03b9404e3bd84ca0be45966fb61d20d2efe6"
_INPUT_RULE = (
    "RGB, shortest side 800 but longest at most 1333 (OpenCV bilinear on uint8), minus mean, over "
    "std, padded with zeros to multiples of 32"
)
_OUTPUT_RULE = (
    "in the graph: score > 0.1, points NMS, matrix NMS (Gaussian, sigma 2) of the best 500, score "
    ">= 0.05, best 100; masks bilinear to the padded input, cut, bilinear to the source size, > 0.5"
)
_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "channel_order": "rgb",
        "mean": "123.675,116.28,103.53",
        "std": "58.395,57.12,57.375",
        "resize": "shortest_side:800,1333",
        "size_rounding": "mmcv",
        "interpolation": "opencv_bilinear",
        "shape_policy": "exact",
        "size_multiple": "32",
        "pad_value": "mean",
        "mask_rule": "full",
        "mask_threshold": "0.5",
        "nms": "matrix",
        "nms_kernel": "gaussian",
        "nms_sigma": "2",
        "nms_points_window": "2",
    }
)
_MAX_BATCH_SIZE = 8


@dataclass(frozen=True)
class SoloRecipe:
    """One network of the family.

    Parameters
    ----------
    name, aliases, provenance
        See `Recipe`.
    network : {"solo", "decoupled_solo", "solov2"}
    """

    name: str
    aliases: tuple[str, ...]
    provenance: Provenance
    network: Network

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        # torch opens late
        from segserve.export.models.decoupled_solo import DecoupledSolo  # noqa: PLC0415  same
        from segserve.export.models.solo import Solo  # noqa: PLC0415  same
        from segserve.export.models.solo_parts import SoloShape  # noqa: PLC0415  same
        from segserve.export.models.solov2 import SoloV2  # noqa: PLC0415  same

        if self.network == "solov2":
            return SoloV2(SoloShape(head_channels=512, head_depth=4)).eval()
        return (Solo if self.network == "solo" else DecoupledSolo)(SoloShape()).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images of 160 x 96 pixels."""
        return {"image": np.zeros((2, 3, 96, 160), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(
                TensorSpec("scores", DataType.FP32, (ROWS,)),
                TensorSpec("labels", DataType.INT64, (ROWS,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("masks", DataType.FP32, (ROWS, -1, -1)),
            ),
            max_batch_size=_MAX_BATCH_SIZE,
            parameters=_PARAMETERS,
            labels=COCO_80,
        )


def _provenance(heads: str) -> Provenance:
    return Provenance(
        source=_SOURCE,
        keys=f"backbone.*, neck.*, {heads}; bare or under state_dict",
        input_rule=_INPUT_RULE,
        output_rule=_OUTPUT_RULE,
    )


RECIPES: tuple[Recipe, ...] = (
    SoloRecipe(
        name="solov2_r50_fpn_3x",
        aliases=("solov2", "solov2_r50"),
        provenance=_provenance("mask_feat_head.*, bbox_head.{cate_convs,kernel_convs,solo_*}.*"),
        network="solov2",
    ),
    SoloRecipe(
        name="solo_r50_fpn_3x",
        aliases=("solo", "solo_r50"),
        provenance=_provenance("bbox_head.{ins_convs,cate_convs,solo_*}.*"),
        network="solo",
    ),
    SoloRecipe(
        name="decoupled_solo_r50_fpn_3x",
        aliases=("decoupled_solo", "decoupled_solo_r50"),
        provenance=_provenance("bbox_head.{ins_convs_x,ins_convs_y,cate_convs,dsolo_*}.*"),
        network="decoupled_solo",
    ),
)
