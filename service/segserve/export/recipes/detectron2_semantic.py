"""detectron2's semantic models on Cityscapes: PointRend and DeepLabV3+."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe

if TYPE_CHECKING:
    from torch import nn

CITYSCAPES_LABELS = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The 19 evaluated classes of Cityscapes, by train id."""

# A hundred layers magnify rounding, and PointRend chooses positions by rank.
_MIN_LABEL_AGREEMENT = 0.995
_COMMIT = "facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833"
_SEMANTIC = {
    "family": "semantic",
    "scale": "1",
    "resize": "shortest_side:1024,2048",
    "size_rounding": "detectron2",
    "interpolation": "pillow_bilinear",
    "shape_policy": "exact",
    "pad_value": "mean",
    "upsample": "two_step",
}
_POINTREND = MappingProxyType(
    _SEMANTIC
    | {
        "channel_order": "bgr",
        "mean": "103.530,116.280,123.675",
        "std": "1,1,1",
        "size_multiple": "32",
    }
)
# The pooled branch's window makes the official program refuse all other sizes.
_DEEPLAB = MappingProxyType(
    _SEMANTIC
    | {
        "channel_order": "rgb",
        "mean": "123.675,116.280,103.530",
        "std": "58.395,57.120,57.375",
        "size_multiple": "512",
        "required_multiple": "512x1024",
    }
)


def _pointrend(num_classes: int) -> nn.Module:
    from segserve.export.models.pointrend_semantic import PointRendSemantic  # noqa: PLC0415  torch opens late

    return PointRendSemantic(num_classes)


def _deeplab(num_classes: int) -> nn.Module:
    from segserve.export.models.deeplabv3plus_detectron2 import Detectron2DeepLab  # noqa: PLC0415  same

    return Detectron2DeepLab(num_classes)


@dataclass(frozen=True)
class Detectron2SemanticRecipe:
    """One network.

    Parameters
    ----------
    name, aliases, provenance
        See `Recipe`.
    network : callable
        Gives the network for a number of labels.
    parameters : mapping of str to str
        Of the configuration.
    sample_size : (height, width)
        Of the sample pictures: the network's smallest, so to speak.
    max_batch_size : int
    """

    name: str
    aliases: tuple[str, ...]
    provenance: Provenance
    network: Callable[[int], nn.Module]
    parameters: Mapping[str, str]
    sample_size: tuple[int, int]
    max_batch_size: int

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        return self.network(len(CITYSCAPES_LABELS)).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank pictures."""
        return {"image": np.zeros((2, 3, *self.sample_size), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(TensorSpec("logits", DataType.FP32, (len(CITYSCAPES_LABELS), -1, -1)),),
            max_batch_size=self.max_batch_size,
            parameters=self.parameters,
            labels=CITYSCAPES_LABELS,
            min_label_agreement=_MIN_LABEL_AGREEMENT,
        )


RECIPES: tuple[Recipe, ...] = (
    Detectron2SemanticRecipe(
        name="d2_pointrend_semantic_R101_FPN_cityscapes",
        aliases=("pointrend_semantic_r101",),
        provenance=Provenance(
            source=f"{_COMMIT}, PointRend/configs/SemanticSegmentation/"
            "pointrend_semantic_R_101_FPN_1x_cityscapes.yaml",
            keys="backbone.{bottom_up,fpn_*}.*, sem_seg_head.{coarse_sem_seg_head,point_head}.*; "
            "under model",
            input_rule="BGR, shorter side 1024, at most 2048 (Pillow bilinear), minus the mean, "
            "padded to 32 with zeros",
            output_rule="logits of every network pixel; padding cut off, bilinear to the source "
            "size, argmax",
        ),
        network=_pointrend,
        parameters=_POINTREND,
        sample_size=(96, 160),
        # One picture's logits are 156 MiB.
        max_batch_size=1,
    ),
    Detectron2SemanticRecipe(
        name="d2_deeplab_v3_plus_R103_os16",
        aliases=("deeplabv3plus_r103",),
        provenance=Provenance(
            source=f"{_COMMIT}, DeepLab/configs/Cityscapes-SemanticSegmentation/"
            "deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16.yaml",
            keys="backbone.{stem,res2..res5}.*, sem_seg_head.{decoder,predictor}.*; under model",
            input_rule="RGB, shorter side 1024, at most 2048 (Pillow bilinear), minus the mean, "
            "over std; other sizes than multiples of 512x1024 are refused",
            output_rule="bilinear to the network's input, then to the source size, argmax",
        ),
        network=_deeplab,
        parameters=_DEEPLAB,
        sample_size=(1024, 1024),
        max_batch_size=2,
    ),
)
