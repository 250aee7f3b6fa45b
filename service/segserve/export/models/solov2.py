"""SOLOv2 with the parameter names of WXinlong/SOLO's checkpoints.

Written from the paper (Wang et al., 2020) and the description of
``mmdet/models/anchor_heads/solov2_head.py`` and ``mmdet/models/mask_heads/mask_feat_head.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from segserve.export.models.mask_selection import MaskSelection
from segserve.export.models.mmdet_fpn import ConvNormReLU, coordinates, resized, tower
from segserve.export.models.solo_parts import (
    SoloShape,
    by_cell,
    categories_of_cells,
    head_levels,
    original_names,
)

_MASK_LEVELS = 4


class KernelHead(nn.Module):
    """Of every cell: its categories, and the kernel that makes its mask.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.grids = list(shape.grids)
        self.channels = shape.channels
        width, depth = shape.head_channels, shape.head_depth
        self.cate_convs = tower(shape.channels, width, depth)
        self.kernel_convs = tower(shape.channels + 2, width, depth)
        self.solo_cate = nn.Conv2d(width, shape.classes, 3, padding=1)
        self.solo_kernel = nn.Conv2d(width, shape.mask_channels, 3, padding=1)

    @override
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Give categories [B, cells, classes] and kernels [B, cells, mask_channels]."""
        logits: list[Tensor] = []
        kernels: list[Tensor] = []
        for level, grid in zip(levels, self.grids):  # noqa: B905  TorchScript knows no `strict`
            seen = resized(torch.cat([level, coordinates(level)], dim=1), grid, grid)
            kernels.append(by_cell(self.solo_kernel(self.kernel_convs(seen))))
            logits.append(self.solo_cate(self.cate_convs(seen[:, : self.channels])))
        return categories_of_cells(logits), torch.cat(kernels, dim=1)


class MaskBranch(nn.Sequential):
    """Blocks of one level, ``conv0``, ``conv1``, ..., each but the finest's doubling the size.

    Parameters
    ----------
    channels, width : int
        Of the pyramid, and of the branch.
    level : int
        0 to 3: blocks to come to stride 4, level 0 has one.
    with_coordinates : bool
        Two channels more come in.
    """

    def __init__(self, channels: int, width: int, level: int, *, with_coordinates: bool) -> None:
        super().__init__()
        self.level = level
        self.with_coordinates = with_coordinates
        entry = channels + 2 if with_coordinates else channels
        for i in range(max(level, 1)):
            self.add_module(f"conv{i}", ConvNormReLU(width if i else entry, width))

    @override
    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Map the pyramid's level to [B, width, h, w] at the size of the first."""
        x = pyramid[self.level]
        if self.with_coordinates:
            x = torch.cat([x, coordinates(x)], dim=1)
        for i, block in enumerate(self):
            x = block(x)
            if self.level > 0:
                finer = pyramid[self.level - 1 - i].shape
                x = resized(x, finer[2], finer[3])
        return x


class MaskFeatureHead(nn.Module):
    """One map of features, at stride 4, of the pyramid's first four levels.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        width = shape.mask_channels // 2
        last = _MASK_LEVELS - 1
        self.convs_all_levels = nn.ModuleList(
            [
                MaskBranch(shape.channels, width, level, with_coordinates=level == last)
                for level in range(_MASK_LEVELS)
            ]
        )
        self.conv_pred = nn.Sequential(ConvNormReLU(width, shape.mask_channels, 1))

    @override
    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Map P2 to P5 to [B, mask_channels, h, w] at P2's size, not negative."""
        branches = [branch(pyramid) for branch in self.convs_all_levels]
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        out: Tensor = self.conv_pred(total)
        return out


class KernelMasks(nn.Module):
    """Masks by a cell's own 1x1 kernel over the mask features."""

    @override
    def forward(self, parts: list[Tensor], cells: Tensor) -> Tensor:
        """Make masks.

        Parameters
        ----------
        parts : list of Tensor
            Kernels [B, all cells, E] and features [B, E, h, w].
        cells : Tensor
            int64 [B, n].

        Returns
        -------
        Tensor
            [B, n, h, w]: probabilities.
        """
        kernels, features = parts[0], parts[1]
        index = cells[:, :, None].expand(-1, -1, kernels.shape[2])
        logits = torch.matmul(kernels.gather(1, index), features.flatten(2))
        size = [cells.shape[0], cells.shape[1], features.shape[2], features.shape[3]]
        return logits.sigmoid().reshape(size)


class SoloV2(nn.Module):
    """Trunk, pyramid, heads and selection.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.backbone = shape.trunk()
        self.neck = shape.neck()
        self.mask_feat_head = MaskFeatureHead(shape)
        self.bbox_head = KernelHead(shape)
        sections = [(KernelMasks(), sum(shape.cells))]
        self.selection = MaskSelection(sections, shape.min_pixels, shape.selection)

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename what mmdetection 2.18 and later name anew."""
        return original_names(state, "solo_cate")

    @override
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find objects.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, RGB, normalised, padded with zeros to multiples of 32.

        Returns
        -------
        tuple of Tensor
            scores [B, 100] float32, labels [B, 100] int64, valid [B] int64 and masks
            [B, 100, H/4, W/4] float32; see `MaskSelection.forward`.
        """
        pyramid = self.neck(self.backbone(image))
        categories, kernels = self.bbox_head(head_levels(pyramid))
        features = self.mask_feat_head(pyramid)
        out: tuple[Tensor, Tensor, Tensor, Tensor] = self.selection(
            categories, [[kernels, features]]
        )
        return out
