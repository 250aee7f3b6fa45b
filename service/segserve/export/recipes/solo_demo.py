"""The small SOLOv2 that is bundled with learned weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.deeplabv3plus import DEMO_LABELS

if TYPE_CHECKING:
    from torch import nn

_ROWS = 20
_PARAMETERS = MappingProxyType(
    {
        "family": "instance",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
        "resize": "longest_side:320",
        "interpolation": "fast_bilinear",
        "shape_policy": "pad",
        "buckets": "240x320,320x240,320x320",
        "pad_value": "mean",
        "mask_rule": "full",
        "mask_threshold": "0.5",
        "nms": "matrix",
        "nms_kernel": "gaussian",
        "nms_sigma": "2",
        "nms_points_window": "2",
    }
)


@dataclass(frozen=True)
class SoloDemoRecipe:
    """SOLOv2 with a slim ResNet, for 320 pixels and the scenes' six classes."""

    name: str = "solov2_demo"
    aliases: tuple[str, ...] = ()
    provenance: Provenance = Provenance(  # noqa: RUF009  frozen
        source="segserve.training.demo_solov2",
        keys="backbone.*, neck.*, mask_feat_head.*, bbox_head.*; bare or under model_state",
        input_rule=(
            "RGB, longest side 320 (bilinear), padded to a bucket, /255, ImageNet mean and std"
        ),
        output_rule="as SOLOv2, with at most 20 objects",
    )

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.mask_selection import (  # noqa: PLC0415  torch opens late
            SelectionRule,
        )
        from segserve.export.models.solo_parts import SoloShape  # noqa: PLC0415  same
        from segserve.export.models.solov2 import SoloV2  # noqa: PLC0415  same

        shape = SoloShape(
            depths=(2, 2, 3, 2),
            width=12,
            channels=64,
            head_channels=64,
            head_depth=2,
            mask_channels=64,
            grids=(20, 16, 14, 10, 8),
            classes=len(DEMO_LABELS) - 1,
            selection=SelectionRule(rows=_ROWS, nms_rows=200),
        )
        return SoloV2(shape).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images of 160 x 96 pixels."""
        return {"image": np.zeros((2, 3, 96, 160), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(
                TensorSpec("scores", DataType.FP32, (_ROWS,)),
                TensorSpec("labels", DataType.INT64, (_ROWS,)),
                TensorSpec("valid", DataType.INT64, ()),
                TensorSpec("masks", DataType.FP32, (_ROWS, -1, -1)),
            ),
            max_batch_size=8,
            parameters=_PARAMETERS,
            labels=DEMO_LABELS[1:],
        )


RECIPES: tuple[Recipe, ...] = (SoloDemoRecipe(),)
