"""SOLO with the parameter names of WXinlong/SOLO's checkpoints.

Written from the paper (Wang et al., 2019) and the description of
``mmdet/models/anchor_heads/solo_head.py``. The last 1x1 convolution of the mask branch has one
channel per cell, so a cell's mask is its filter over the branch's features: only filters of cells
that are asked for are applied.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from segserve.export.models.mask_selection import MaskSelection
from segserve.export.models.mmdet_fpn import coordinates, resized, tower
from segserve.export.models.solo_parts import (
    SoloShape,
    categories_of_cells,
    head_levels,
    original_names,
)


class CellFilters(nn.Module):
    """The parameters of a 1x1 convolution that is never applied whole.

    Parameters
    ----------
    channels, cells : int
        In and out.
    """

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(cells, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(cells))

    @override
    def forward(self) -> list[Tensor]:
        """Give filters [cells, channels] and biases [cells]."""
        # Counters of FLOPs hook modules, and trip over a parameter that comes out as it is.
        return [self.weight.flatten(1), self.bias.clone()]


class GridHead(nn.Module):
    """Categories of all cells, and what their masks are made of.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.grids = list(shape.grids)
        width, depth = shape.head_channels, shape.head_depth
        self.ins_convs = tower(shape.channels + 2, width, depth)
        self.cate_convs = tower(shape.channels, width, depth)
        self.solo_ins_list = nn.ModuleList([CellFilters(width, n) for n in shape.cells])
        self.solo_cate = nn.Conv2d(width, shape.classes, 3, padding=1)

    @override
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, list[list[Tensor]]]:
        """Give categories [B, cells, classes], and for each level the parts of `FilterMasks`."""
        logits: list[Tensor] = []
        parts: list[list[Tensor]] = []
        finest = levels[0]
        for i, filters in enumerate(self.solo_ins_list):
            level, grid = levels[i], self.grids[i]
            x = self.ins_convs(torch.cat([level, coordinates(level)], dim=1))
            x = resized(x, 2 * level.shape[2], 2 * level.shape[3])
            made: list[Tensor] = filters()
            made.extend([x, finest])
            parts.append(made)
            logits.append(self.solo_cate(self.cate_convs(resized(level, grid, grid))))
        return categories_of_cells(logits), parts


class FilterMasks(nn.Module):
    """Masks of one level by each cell's own filter, brought to stride 4.

    Parameters
    ----------
    enlarge : bool
        False where the level's features are at stride 4 already.
    """

    def __init__(self, *, enlarge: bool) -> None:
        super().__init__()
        self.enlarge = enlarge

    @override
    def forward(self, parts: list[Tensor], cells: Tensor) -> Tensor:
        """Make masks.

        Parameters
        ----------
        parts : list of Tensor
            Filters [level's cells, C], biases [level's cells], features [B, C, h, w], and the first
            level's [B, _, H/8, W/8].
        cells : Tensor
            int64 [B, n], within the level.

        Returns
        -------
        Tensor
            [B, n, H/4, W/4]: probabilities.
        """
        filters, biases, features, finest = parts[0], parts[1], parts[2], parts[3]
        batch, count = cells.shape[0], cells.shape[1]
        rows = cells.flatten()
        chosen = filters.index_select(0, rows).reshape(batch, count, filters.shape[1])
        bias = biases.index_select(0, rows).reshape(batch, count, 1)
        logits = torch.matmul(chosen, features.flatten(2)) + bias
        masks = logits.sigmoid().reshape(batch, count, features.shape[2], features.shape[3])
        if self.enlarge:
            masks = resized(masks, 2 * finest.shape[2], 2 * finest.shape[3])
        return masks


class Solo(nn.Module):
    """Trunk, pyramid, head and selection.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.backbone = shape.trunk()
        self.neck = shape.neck()
        self.bbox_head = GridHead(shape)
        sections = [(FilterMasks(enlarge=i > 1), cells) for i, cells in enumerate(shape.cells)]
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
        categories, parts = self.bbox_head(head_levels(self.neck(self.backbone(image))))
        out: tuple[Tensor, Tensor, Tensor, Tensor] = self.selection(categories, parts)
        return out
