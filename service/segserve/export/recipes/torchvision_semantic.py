"""DeepLabV3 and FCN recipes: torchvision's VOC-labelled checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance, Recipe
from segserve.export.recipes.deeplabv3plus import VOC_LABELS

if TYPE_CHECKING:
    from torch import nn

_MAX_BATCH_SIZE = 4
_PARAMETERS = MappingProxyType(
    {
        "family": "semantic",
        "channel_order": "rgb",
        "scale": "1/255",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
        "resize": "shortest_side:520",
        "size_rounding": "floor",
        "interpolation": "pillow_bilinear",
        "shape_policy": "exact",
        "output_grid": "network",
    }
)
_PROVENANCE = Provenance(
    source="pytorch/vision@8fb87713a24951e639c494b0f2a8a81b5f8e33a6 (0.28.0), aux_loss=True",
    keys="backbone.*, classifier.*, aux_classifier.*; bare",
    input_rule="RGB, shorter side 520, the other one cut (Pillow bilinear), /255, ImageNet mean "
    "and std",
    output_rule="bilinear to the resized picture (align_corners false), argmax; not back to the "
    "source size unless output_grid is source",
)


def _deeplabv3(num_classes: int, depth: int) -> nn.Module:
    from segserve.export.models.torchvision_semantic import deeplabv3  # noqa: PLC0415  torch opens late

    return deeplabv3(num_classes, depth)


def _fcn(num_classes: int, depth: int) -> nn.Module:
    from segserve.export.models.torchvision_semantic import fcn  # noqa: PLC0415  same

    return fcn(num_classes, depth)


@dataclass(frozen=True)
class TorchvisionSemanticRecipe:
    """One head on one depth.

    Parameters
    ----------
    name, aliases
        See `Recipe`.
    network : callable
        Gives the network for a number of labels and a depth.
    depth : int
        Of the ResNet.
    """

    name: str
    aliases: tuple[str, ...]
    network: Callable[[int, int], nn.Module]
    depth: int
    provenance: Provenance = _PROVENANCE

    def build(self) -> nn.Module:
        """Give the network in evaluation mode."""
        return self.network(len(VOC_LABELS), self.depth).eval()

    def sample_inputs(self) -> Mapping[str, Array]:
        """Give two blank images of 130 x 97 pixels."""
        return {"image": np.zeros((2, 3, 97, 130), np.float32)}

    def config(self) -> ExportConfig:
        """Give tensors, batch limit, parameters and labels."""
        return ExportConfig(
            inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
            outputs=(TensorSpec("logits", DataType.FP32, (len(VOC_LABELS), -1, -1)),),
            max_batch_size=_MAX_BATCH_SIZE,
            parameters=_PARAMETERS,
            labels=VOC_LABELS,
        )


RECIPES: tuple[Recipe, ...] = tuple(
    TorchvisionSemanticRecipe(
        f"torchvision_{head}_resnet{depth}", (f"{head}_resnet{depth}",), network, depth
    )
    for head, network in (("deeplabv3", _deeplabv3), ("fcn", _fcn))
    for depth in (50, 101)
)
