"""DeepLabV3+ recipes: VainF's VOC checkpoints, and the slim demo model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe

if TYPE_CHECKING:
    from torch import nn

    from segserve.export.models.deeplabv3plus import Backbone

VOC_LABELS = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""The 21 classes of PASCAL VOC 2012 segmentation, by label_id."""

DEMO_LABELS = ("background", "disc", "rectangle", "triangle", "star", "ring", "cross")
"""The demo model's classes by label_id: those of ``segserve.scenes`` (a test compares them)."""

_VAINF = Provenance(
    source="VainF/DeepLabV3Plus-Pytorch@4e1087de98bc49d55b9239ae92810ef7368660db",
    keys="backbone.*, classifier.{project,aspp,classifier}.*; under model_state",
    input_rule="RGB, source size, /255, ImageNet mean and std",
    output_rule="bilinear to the source size (align_corners false), argmax",
)
_DEMO = Provenance(
    source="segserve.training.demo_deeplab",
    keys="backbone.*, classifier.*; bare or under model_state",
    input_rule="RGB, longest side 320 (bilinear), padded to a bucket, /255, ImageNet mean and std",
    output_rule="bilinear to the source size (align_corners false), argmax",
)
_SEMANTIC = {
    "family": "semantic",
    "channel_order": "rgb",
    "scale": "1/255",
    "mean": "0.485,0.456,0.406",
    "std": "0.229,0.224,0.225",
}
# The mean over the whole map makes the answer depend on the size, so every size has its own queue.
_EXACT = MappingProxyType(_SEMANTIC | {"resize": "none", "shape_policy": "exact"})
_PADDED = MappingProxyType(
    _SEMANTIC
    | {
        "resize": "longest_side:320",
        "interpolation": "fast_bilinear",
        "shape_policy": "pad",
        "buckets": "240x320,320x240,320x320",
        "pad_value": "mean",
    }
)
_MAX_BATCH_SIZE = 8


@dataclass(frozen=True)
class DeepLabV3PlusRecipe:
    """One backbone at one output stride.

    Parameters
    ----------
    name, aliases, provenance
        See `Recipe`.
    backbone : str
        See `segserve.export.models.deeplabv3plus.deeplabv3plus`.
    parameters : mapping of str to str
        Of the configuration.
    output_stride : int
        8 or 16.
    labels : tuple of str
        One per channel of the logits.
    """

    name: str
    aliases: tuple[str, ...]
    provenance: Provenance
    backbone: Backbone
    parameters: Mapping[str, str]
    output_stride: int = 16
    labels: tuple[str, ...] = VOC_LABELS

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        from segserve.export.models.deeplabv3plus import deeplabv3plus  # noqa: PLC0415  torch opens late

        return deeplabv3plus(self.backbone, len(self.labels), self.output_stride).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images of 130 x 97 pixels."""
        return {"image": np.zeros((2, 3, 97, 130), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(TensorSpec("logits", DataType.FP32, (len(self.labels), -1, -1)),),
            max_batch_size=_MAX_BATCH_SIZE,
            parameters=self.parameters,
            labels=self.labels,
        )


def _vainf(backbone: Backbone, output_stride: int) -> DeepLabV3PlusRecipe:
    suffix = "" if output_stride == 16 else f"_os{output_stride}"  # noqa: PLR2004  the default stride
    return DeepLabV3PlusRecipe(
        name=f"vainf_deeplabv3plus_{backbone}_os{output_stride}",
        aliases=(f"deeplabv3plus_{backbone}{suffix}",),
        provenance=_VAINF,
        backbone=backbone,
        parameters=_EXACT,
        output_stride=output_stride,
    )


RECIPES: tuple[Recipe, ...] = (
    _vainf("resnet50", 16),
    _vainf("resnet101", 16),
    _vainf("mobilenet", 16),
    _vainf("resnet50", 8),
    _vainf("resnet101", 8),
    _vainf("mobilenet", 8),
    DeepLabV3PlusRecipe(
        name="deeplabv3plus_demo",
        aliases=(),
        provenance=_DEMO,
        backbone="resnet_slim",
        labels=DEMO_LABELS,
        parameters=_PADDED,
    ),
)
