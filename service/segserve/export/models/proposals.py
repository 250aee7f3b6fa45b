"""Region proposals: the best anchors of every level, moved, without near-duplicates.

Sources: torchvision ``models/detection/rpn.py``; detectron2
``modeling/proposal_generator/proposal_utils.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from segserve.export.models.boxes import DeltaWeights, clip, decode
from segserve.export.models.detection_ops import nms_mask

DROPPED = float("-inf")
"""The score of a row that is not there: scores may be logits, so zero is no threshold."""


@dataclass(frozen=True)
class ProposalRule:
    """How many proposals, and which.

    Parameters
    ----------
    per_level : int
        Best anchors of a level, before suppression.
    kept : int
        Of an image, after suppression.
    iou_threshold : float
        Of the suppression, within a level.
    min_side_px : float
        Shorter boxes are dropped; boxes of no area always are.
    """

    per_level: int = 1000
    kept: int = 1000
    iou_threshold: float = 0.7
    min_side_px: float = 0.0


class Proposals(NamedTuple):
    """Fixed rows per image, best first.

    Parameters
    ----------
    boxes : Tensor
        [B, P, 4]; zero where not valid.
    logits : Tensor
        [B, P]; minus infinity where not valid.
    """

    boxes: Tensor
    logits: Tensor

    @property
    def valid(self) -> Tensor:
        """Which rows hold a proposal, bool [B, P]."""
        return self.logits > DROPPED


def has_sides(boxes: Tensor, min_side_px: float) -> Tensor:
    """Tell which boxes [..., 4] have an area, and no side shorter than `min_side_px`."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return ((sides > 0) & (sides >= min_side_px)).all(dim=-1)


def take(table: Tensor, index: Tensor) -> Tensor:
    """Give rows [B, M, C] of `table` [B, N, C] by `index` [B, M]."""
    return torch.gather(table, 1, index.unsqueeze(2).expand(-1, -1, table.shape[2]))


def top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give the best `count` of [B, N] and where they are; minus infinity where there are fewer.

    Returns
    -------
    scores, index : Tensor
        [B, count]; an index past the end of `scores` comes back as its last.
    """
    padding = scores.new_full([scores.shape[0], count], DROPPED)
    best, index = torch.topk(torch.cat([scores, padding], dim=1), count, dim=1)
    return best, index.clamp(max=scores.shape[1] - 1)


def by_anchor(logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
    """Put what is said of a level's anchors into the anchors' order.

    Parameters
    ----------
    logits, deltas : Tensor
        [B, A, h, w] and [B, 4 * A, h, w].

    Returns
    -------
    logits, deltas : Tensor
        [B, h * w * A] and [B, h * w * A, 4].
    """
    batch, kinds = logits.shape[0], logits.shape[1]
    flat = logits.permute(0, 2, 3, 1).reshape(batch, -1)
    offsets = deltas.reshape(batch, kinds, 4, logits.shape[2], logits.shape[3])
    return flat, offsets.permute(0, 3, 4, 1, 2).reshape(batch, -1, 4)


def _best_of_level(
    logits: Tensor, deltas: Tensor, anchors: Tensor, image_size: Tensor, rule: ProposalRule
) -> Proposals:
    """Decode the best anchors of one level; rows too small are dropped, not removed."""
    flat, offsets = by_anchor(logits, deltas)
    best, index = top(flat, rule.per_level)
    boxes = clip(decode(take(offsets, index), anchors[index], DeltaWeights()), image_size)
    is_box = has_sides(boxes, rule.min_side_px)
    return Proposals(boxes, torch.where(is_box, best, torch.full_like(best, DROPPED)))


def propose(
    logits: list[Tensor],
    deltas: list[Tensor],
    anchors: list[Tensor],
    image_size: Tensor,
    rule: ProposalRule,
) -> Proposals:
    """Choose proposals, for every image apart.

    Parameters
    ----------
    logits, deltas : list of Tensor
        Per level [B, A, h, w] and [B, 4 * A, h, w].
    anchors : list of Tensor
        Per level [h * w * A, 4].
    image_size : Tensor
        [B, 2] float32: height and width of the picture inside the network's input.
    rule : ProposalRule
    """
    levels = [
        _best_of_level(*level, image_size, rule)
        for level in zip(logits, deltas, anchors, strict=True)
    ]
    boxes = torch.stack([level.boxes for level in levels], dim=1)
    scores = torch.stack([level.logits for level in levels], dim=1)
    kept = nms_mask(boxes.flatten(0, 1), scores.flatten(0, 1), rule.iou_threshold)
    scores = torch.where(kept.reshape(scores.shape), scores, torch.full_like(scores, DROPPED))
    best, index = top(scores.flatten(1), rule.kept)
    chosen = take(boxes.flatten(1, 2), index)
    return Proposals(
        torch.where((best > DROPPED).unsqueeze(2), chosen, torch.zeros_like(chosen)), best
    )
