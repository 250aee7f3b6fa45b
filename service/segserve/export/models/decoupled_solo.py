"""Decoupled SOLO with the parameter names of WXinlong/SOLO's checkpoints.

Written from the paper (Wang et al., 2019, section 3.4) and the description of
``mmdet/models/anchor_heads/decoupled_solo_head.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


class CrossHead(nn.Module):
    """Categories of all cells, and a map for each column and for each row of every grid.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.grids = list(shape.grids)
        width, depth = shape.head_channels, shape.head_depth
        self.ins_convs_x = tower(shape.channels + 1, width, depth)
        self.ins_convs_y = tower(shape.channels + 1, width, depth)
        self.cate_convs = tower(shape.channels, width, depth)
        self.dsolo_ins_list_x = _last(width, shape.grids)
        self.dsolo_ins_list_y = _last(width, shape.grids)
        self.dsolo_cate = nn.Conv2d(width, shape.classes, 3, padding=1)

    @override
    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Give categories [B, cells, classes], and probabilities of columns and rows.

        Returns
        -------
        tuple of Tensor
            Categories; columns and rows [B, sum of grids, H/4, W/4], level by level.
        """
        logits: list[Tensor] = []
        columns: list[Tensor] = []
        rows: list[Tensor] = []
        height, width = 2 * levels[0].shape[2], 2 * levels[0].shape[3]
        for i, (last_x, last_y) in enumerate(zip(self.dsolo_ins_list_x, self.dsolo_ins_list_y)):  # noqa: B905  TorchScript knows no `strict`
            level, grid = levels[i], self.grids[i]
            high, wide = 2 * level.shape[2], 2 * level.shape[3]
            place = coordinates(level)
            x = self.ins_convs_x(torch.cat([level, place[:, :1]], dim=1))
            y = self.ins_convs_y(torch.cat([level, place[:, 1:]], dim=1))
            x = last_x(resized(x, high, wide)).sigmoid()
            y = last_y(resized(y, high, wide)).sigmoid()
            if i > 1:  # The first two levels are at stride 4 already.
                x, y = resized(x, height, width), resized(y, height, width)
            columns.append(x)
            rows.append(y)
            logits.append(self.dsolo_cate(self.cate_convs(resized(level, grid, grid))))
        return categories_of_cells(logits), torch.cat(columns, dim=1), torch.cat(rows, dim=1)


def _last(width: int, grids: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList([nn.Conv2d(width, grid, 3, padding=1) for grid in grids])


class CrossMasks(nn.Module):
    """Masks as the product of a cell's column and its row.

    Parameters
    ----------
    grids : sequence of int
        Cells on a side, level by level.
    """

    def __init__(self, grids: Sequence[int]) -> None:
        super().__init__()
        columns: list[int] = []
        rows: list[int] = []
        first = 0
        for grid in grids:
            columns += [first + cell % grid for cell in range(grid * grid)]
            rows += [first + cell // grid for cell in range(grid * grid)]
            first += grid
        self.columns = nn.Buffer(torch.tensor(columns), persistent=False)
        self.rows = nn.Buffer(torch.tensor(rows), persistent=False)

    @override
    def forward(self, parts: list[Tensor], cells: Tensor) -> Tensor:
        """Make masks.

        Parameters
        ----------
        parts : list of Tensor
            Columns and rows, [B, sum of grids, h, w] each.
        cells : Tensor
            int64 [B, n].

        Returns
        -------
        Tensor
            [B, n, h, w]: probabilities.
        """
        across, down = parts[0], parts[1]
        batch, lines = across.shape[0], across.shape[1]
        image = torch.arange(batch, device=cells.device)[:, None] * lines
        size = [batch, cells.shape[1], across.shape[2], across.shape[3]]
        column = (self.columns[cells] + image).flatten()
        row = (self.rows[cells] + image).flatten()
        masks = across.flatten(0, 1).index_select(0, column)
        masks = masks * down.flatten(0, 1).index_select(0, row)
        return masks.reshape(size)


class DecoupledSolo(nn.Module):
    """Trunk, pyramid, head and selection.

    Parameters
    ----------
    shape : SoloShape
    """

    def __init__(self, shape: SoloShape) -> None:
        super().__init__()
        self.backbone = shape.trunk()
        self.neck = shape.neck()
        self.bbox_head = CrossHead(shape)
        sections = [(CrossMasks(shape.grids), sum(shape.cells))]
        self.selection = MaskSelection(sections, shape.min_pixels, shape.selection)

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename what mmdetection 2.18 and later name anew."""
        return original_names(state, "dsolo_cate")

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
        categories, columns, rows = self.bbox_head(head_levels(pyramid))
        out: tuple[Tensor, Tensor, Tensor, Tensor] = self.selection(categories, [[columns, rows]])
        return out
