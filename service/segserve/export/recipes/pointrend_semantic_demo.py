"""The small PointRend for semantic segmentation that is bundled with learned weights."""

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

# Positions are chosen by rank, so that the smallest differences show.
_MIN_LABEL_AGREEMENT = 0.999
_PARAMETERS = MappingProxyType(
    {
        "family": "semantic",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
        "resize": "longest_side:320",
        "interpolation": "fast_bilinear",
        "shape_policy": "pad",
        "size_multiple": "32",
        "buckets": "256x320,320x256,320x320",
        "pad_value": "mean",
        "upsample": "two_step",
    }
)


@dataclass(frozen=True)
class PointRendSemanticDemoRecipe:
    """PointRend with a slim ResNet, for 320 pixels and the scenes' seven classes."""

    name: str = "pointrend_semantic_demo"
    aliases: tuple[str, ...] = ()
    provenance: Provenance = Provenance(  # noqa: RUF009  frozen
        source="segserve.training.demo_pointrend_semantic",
        keys="backbone.*, sem_seg_head.{coarse_sem_seg_head,point_head}.*; bare or under "
        "model_state",
        input_rule=(
            "RGB, longest side 320 (bilinear), padded to a bucket, /255, ImageNet mean and std"
        ),
        output_rule="logits of every network pixel; padding cut off, bilinear to the source size, "
        "argmax",
    )

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.pointrend_semantic import (  # noqa: PLC0415  torch opens late
            PointRendSemantic,
            PointRendWidths,
        )

        widths = PointRendWidths((2, 2, 3, 2), stem=12, pyramid=64, coarse=64, points=2048)
        return PointRendSemantic(len(DEMO_LABELS), widths, learns_norms=True).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images of 160 x 96 pixels."""
        return {"image": np.zeros((2, 3, 96, 160), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(TensorSpec("logits", DataType.FP32, (len(DEMO_LABELS), -1, -1)),),
            max_batch_size=8,
            parameters=_PARAMETERS,
            labels=DEMO_LABELS,
            min_label_agreement=_MIN_LABEL_AGREEMENT,
        )


RECIPES: tuple[Recipe, ...] = (PointRendSemanticDemoRecipe(),)
