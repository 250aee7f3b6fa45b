"""What the three networks of the SOLO family share: sizes, levels, categories of cells.

Written from the description of WXinlong/SOLO (commit f4cd03b9404e3bd84ca0be45966fb61d20d2efe6),
``mmdet/models/anchor_heads/{solo_head,decoupled_solo_head,solov2_head}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from segserve.export.models.mask_selection import SelectionRule
from segserve.export.models.mmdet_fpn import FeaturePyramid, resized
from segserve.export.models.resnet import EXPANSION, ResNetPyramid

_STAGES = 4
_LEVEL_STRIDES = (8, 8, 16, 32, 32)
_NEWER_HEAD = "mask_head."
_ORIGINAL_NAMES = {
    "cls_convs": "cate_convs",
    "mask_convs": "ins_convs",
    "mask_convs_x": "ins_convs_x",
    "mask_convs_y": "ins_convs_y",
    "conv_mask_list": "solo_ins_list",
    "conv_mask_list_x": "dsolo_ins_list_x",
    "conv_mask_list_y": "dsolo_ins_list_y",
    "conv_kernel": "solo_kernel",
}
"""Names of mmdetection 2.18 and later, and WXinlong/SOLO's."""


@dataclass(frozen=True)
class SoloShape:
    """Sizes of a network; by default the published R50-FPN.

    Parameters
    ----------
    depths : tuple of int
        Blocks of the ResNet's stages.
    width : int
        Channels of its stem.
    channels : int
        Of the feature pyramid.
    head_channels : int
        Of the head's towers: 256, in SOLOv2 512.
    head_depth : int
        Convolutions of a tower: 7, in SOLOv2 4.
    mask_channels : int
        Of SOLOv2's mask features, and so values of a kernel.
    grids : tuple of 5 int
        Cells on a side, level by level.
    classes : int
    selection : SelectionRule
    """

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    channels: int = 256
    head_channels: int = 256
    head_depth: int = 7
    mask_channels: int = 256
    grids: tuple[int, int, int, int, int] = (40, 36, 24, 16, 12)
    classes: int = 80
    selection: SelectionRule = field(default_factory=SelectionRule)

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells of each level."""
        return tuple(grid * grid for grid in self.grids)

    @property
    def min_pixels(self) -> list[int]:
        """Of each cell, level by level: its mask must have more pixels."""
        pairs = zip(_LEVEL_STRIDES, self.cells, strict=True)
        return [stride for stride, cells in pairs for _ in range(cells)]

    def trunk(self) -> ResNetPyramid:
        """Build the ResNet."""
        return ResNetPyramid(self.depths, (False, False, False), self.width)

    def neck(self) -> FeaturePyramid:
        """Build the feature pyramid of five levels."""
        stages = [self.width * EXPANSION * 2**i for i in range(_STAGES)]
        return FeaturePyramid(stages, self.channels)


def head_levels(pyramid: list[Tensor]) -> list[Tensor]:
    """Bring P2 to P6 to strides 8, 8, 16, 32, 32: halve the first, resize the last to P5's size."""
    finest, below, last = pyramid[0], pyramid[3], pyramid[4]
    halved = resized(finest, max(finest.shape[2] // 2, 1), max(finest.shape[3] // 2, 1))
    doubled = resized(last, below.shape[2], below.shape[3])
    return [halved, pyramid[1], pyramid[2], below, doubled]


def peaks(categories: Tensor) -> Tensor:
    """Zero what is less than a neighbour above, to the left, or both (points NMS).

    Parameters
    ----------
    categories : Tensor
        [B, classes, g, g] float, probabilities.
    """
    best = functional.max_pool2d(categories, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return categories * (best == categories).to(categories.dtype)


def by_cell(maps: Tensor) -> Tensor:
    """Bring [B, C, g, g] to [B, g * g, C], cells in row-major order."""
    return maps.flatten(2).transpose(1, 2)


def categories_of_cells(logits: list[Tensor]) -> Tensor:
    """Map [B, classes, g, g] of each level to probabilities [B, cells, classes], peaks alone."""
    return torch.cat([by_cell(peaks(level.sigmoid())) for level in logits], dim=1)


def original_names(state: Mapping[str, Tensor], categories: str) -> dict[str, Tensor]:
    """Give a checkpoint of mmdetection 2.18 or later WXinlong/SOLO's names; others as they are.

    Source: open-mmlab/mmdetection ``mmdet/models/dense_heads/{solo_head,solov2_head}.py``.

    Parameters
    ----------
    state : mapping of str to Tensor
    categories : str
        What the last convolution of the categories is called here.
    """
    names = {**_ORIGINAL_NAMES, "conv_cls": categories}
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        layer, dot, rest = key.removeprefix(_NEWER_HEAD).partition(".")
        if not key.startswith(_NEWER_HEAD):
            renamed[key] = value
        elif layer == "mask_feature_head":
            renamed["mask_feat_head." + rest.replace("conv_pred.", "conv_pred.0.")] = value
        else:
            renamed["bbox_head." + names.get(layer, layer) + dot + rest] = value
    return renamed
