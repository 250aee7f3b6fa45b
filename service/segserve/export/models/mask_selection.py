"""Which of SOLO's cells become objects: candidates, mask quality, matrix NMS, the best of them.

Written from the SOLOv2 paper (Wang et al., 2020, section 3.3 and its pseudo-code) and the
description of ``get_seg_single`` in WXinlong/SOLO's heads. The original makes a mask for every
candidate (cell, class); here a mask is made once per cell with a candidate, some cells at a time,
and only its size and mean are kept. The masks of the best candidates are made again.

All images of a batch go together: each has its cells with candidates in front, and as many cells
are looked at as the image with the most has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from segserve.export.models.detections import valid_count


@dataclass(frozen=True)
class SelectionRule:
    """Thresholds and caps, by default the official ones.

    Parameters
    ----------
    score_threshold : float
        Of a class in a cell; it must be greater.
    mask_threshold : float
        Of a mask's pixel; it must be greater.
    nms_rows : int
        Best candidates that go into matrix NMS.
    sigma : float
        Of its Gaussian.
    final_threshold : float
        Of the score after it; it must not be less.
    rows : int
        Best candidates that leave.
    cells_at_once : int
        Masks of an image made at a time: at 200 x 272 pixels 256 take 56 MB.
    """

    score_threshold: float = 0.1
    mask_threshold: float = 0.5
    nms_rows: int = 500
    sigma: float = 2.0
    final_threshold: float = 0.05
    rows: int = 100
    cells_at_once: int = 256


def front_rows(order: Tensor, count: Tensor) -> Tensor:
    """Give the first `count` columns of `order` [B, N], at least one.

    Parameters
    ----------
    order : Tensor
        int64 [B, N].
    count : Tensor
        int64, no dimensions; the graph needs no number of it, so it may depend on the data.
    """
    position = torch.arange(order.shape[1], device=order.device)
    return order.index_select(1, (position < count.clamp(min=1)).nonzero().squeeze(1))


def set_first(flags: Tensor) -> Tensor:
    """Give the columns of bool [B, N] where it is set, in order, then the others: int64 [B, N]."""
    column = torch.arange(flags.shape[1], device=flags.device)
    return torch.argsort(flags.long() * flags.shape[1] - column, dim=1, descending=True)


def matrix_nms(masks: Tensor, scores: Tensor, labels: Tensor, sigma: float) -> Tensor:
    """Lower each score by how much the mask overlaps better ones of its class.

    Parameters
    ----------
    masks : Tensor
        [B, N, P] float, 0 or 1.
    scores : Tensor
        [B, N] float, falling; rows of another label than all others change nothing.
    labels : Tensor
        [B, N] int64.
    sigma : float
        Of the Gaussian ``exp(-sigma * iou**2)``.

    Returns
    -------
    Tensor
        [B, N], not greater than `scores`.
    """
    shared = torch.matmul(masks, masks.transpose(1, 2))
    size = masks.sum(dim=2)
    union = size[:, :, None] + size[:, None, :] - shared
    iou = shared / union.clamp(min=1.0)
    iou = (iou * (labels[:, :, None] == labels[:, None, :])).triu(1)
    compensation = iou.amax(dim=1)
    decay = torch.exp(-sigma * (iou * iou - (compensation * compensation)[:, :, None]))
    return scores * decay.amin(dim=1)


class CellSection(nn.Module):
    """Cells whose masks are made in one way.

    Parameters
    ----------
    masks : nn.Module
        Without parameters; maps a list of tensors and cells [B, n] to probabilities [B, n, h, w].
    cells : int
        How many there are.
    rule : SelectionRule
        Gives the mask threshold, and how many cells go at a time.
    """

    def __init__(self, masks: nn.Module, cells: int, rule: SelectionRule) -> None:
        super().__init__()
        self.masks = masks
        self.cells = cells
        self.at_once = rule.cells_at_once
        self.mask_threshold = rule.mask_threshold

    @override
    def forward(self, parts: list[Tensor], wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Measure the masks of wanted cells.

        Parameters
        ----------
        parts : list of Tensor
            What `masks` makes them of.
        wanted : Tensor
            bool [B, cells].

        Returns
        -------
        tuple of Tensor
            [B, cells] float each: pixels inside the mask, and the sum of their probabilities; zero
            or anything in cells not wanted.
        """
        order, count = set_first(wanted), wanted.sum(dim=1).amax(dim=0)
        pixels = torch.zeros_like(wanted, dtype=torch.float32)
        inside = torch.zeros_like(wanted, dtype=torch.float32)
        for start in range(0, self.cells, self.at_once):
            end = min(start + self.at_once, self.cells)
            cells = front_rows(order[:, start:end], count - start)
            probability = self.masks(parts, cells).flatten(2)
            is_set = (probability > self.mask_threshold).to(torch.float32)
            pixels = pixels.scatter(1, cells, is_set.sum(dim=2))
            inside = inside.scatter(1, cells, (probability * is_set).sum(dim=2))
        return pixels, inside


class MaskSelection(nn.Module):
    """From categories of cells to a fixed number of objects with masks.

    Parameters
    ----------
    sections : sequence of (masks, cells)
        See `CellSection`; together all cells, in their order.
    min_pixels : sequence of int
        One per cell: a mask must have more pixels.
    rule : SelectionRule
    """

    def __init__(
        self,
        sections: Sequence[tuple[nn.Module, int]],
        min_pixels: Sequence[int],
        rule: SelectionRule,
    ) -> None:
        super().__init__()
        self.makers = nn.ModuleList([masks for masks, _ in sections])
        self.sections = nn.ModuleList(
            [CellSection(masks, cells, rule) for masks, cells in sections]
        )
        self.counts = [cells for _, cells in sections]
        pixels = torch.tensor(min_pixels, dtype=torch.float32)
        self.min_pixels = nn.Buffer(pixels, persistent=False)
        self.score_threshold = rule.score_threshold
        self.mask_threshold = rule.mask_threshold
        self.nms_rows = rule.nms_rows
        self.sigma = rule.sigma
        self.final_threshold = rule.final_threshold
        self.rows = rule.rows

    @override
    def forward(
        self, categories: Tensor, parts: list[list[Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Choose.

        Parameters
        ----------
        categories : Tensor
            [B, cells, classes] float: probabilities after points NMS.
        parts : list of list of Tensor
            One per section.

        Returns
        -------
        tuple of Tensor
            scores [B, rows] float, labels [B, rows] int64, valid [B] int64, masks [B, rows, h, w]
            float: probabilities. Falling scores; rows past `valid` are zero, label -1.
        """
        best, cells, labels = self.candidates(categories, parts)
        best = self.decayed(best, cells, labels, parts)
        scores, row = best.topk(self.rows, dim=1)
        valid = scores > 0
        masks = self.masks(cells.gather(1, row), parts) * valid[:, :, None, None]
        labels = torch.where(valid, labels.gather(1, row), -1)
        return torch.where(valid, scores, 0.0), labels, valid_count(valid), masks

    def candidates(
        self, categories: Tensor, parts: list[list[Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give score, cell and label of the best, [B, nms_rows] each; -1 where there are fewer."""
        is_candidate = categories > self.score_threshold
        wanted = is_candidate.any(dim=2)
        pixels: list[Tensor] = []
        inside: list[Tensor] = []
        first = 0
        for i, section in enumerate(self.sections):
            size, total = section(parts[i], wanted[:, first : first + self.counts[i]])
            pixels.append(size)
            inside.append(total)
            first += self.counts[i]
        size = torch.cat(pixels, dim=1)
        quality = torch.cat(inside, dim=1) / size.clamp(min=1.0)
        is_candidate = is_candidate & (size > self.min_pixels)[:, :, None]
        scores = torch.where(is_candidate, categories * quality[:, :, None], -1.0).flatten(1)
        best, index = scores.topk(min(self.nms_rows, scores.shape[1]), dim=1)
        classes = categories.shape[2]
        return best, index // classes, index % classes

    def decayed(
        self, best: Tensor, cells: Tensor, labels: Tensor, parts: list[list[Tensor]]
    ) -> Tensor:
        """Give the scores after matrix NMS, [B, nms_rows]; -1 where they are too low."""
        every = torch.arange(best.shape[1], device=best.device).expand(best.shape[0], -1)
        rows = front_rows(every, (best > 0).sum(dim=1).amax(dim=0))
        scores = best.gather(1, rows)
        is_row = scores > 0
        masks = self.masks(cells.gather(1, rows), parts).flatten(2) > self.mask_threshold
        groups = torch.where(is_row, labels.gather(1, rows), -1)
        lowered = matrix_nms(masks.to(scores.dtype), scores, groups, self.sigma)
        kept = torch.where(is_row & (lowered >= self.final_threshold), lowered, -1.0)
        return torch.full_like(best, -1.0).scatter(1, rows, kept)

    def masks(self, cells: Tensor, parts: list[list[Tensor]]) -> Tensor:
        """Give the masks of cells [B, n] of any section: probabilities [B, n, h, w]."""
        if len(self.makers) == 1:
            only: Tensor = self.makers[0](parts[0], cells)
            return only
        made: list[Tensor] = []
        home = torch.zeros_like(cells)
        first, ahead = 0, 0
        for i, maker in enumerate(self.makers):
            local = cells - first
            here = (local >= 0) & (local < self.counts[i])
            rows = front_rows(set_first(here), here.sum(dim=1).amax(dim=0))
            wanted = local.gather(1, rows).clamp(0, self.counts[i] - 1)
            made.append(maker(parts[i], wanted))
            home = torch.where(here, here.long().cumsum(dim=1) - 1 + ahead, home)
            first += self.counts[i]
            ahead += rows.shape[1]
        every = torch.cat(made, dim=1)
        image = torch.arange(cells.shape[0], device=cells.device)[:, None] * ahead
        chosen = every.flatten(0, 1).index_select(0, (home + image).flatten())
        return chosen.reshape(cells.shape[0], cells.shape[1], every.shape[2], every.shape[3])
