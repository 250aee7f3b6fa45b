"""From class scores of proposals to detections in fixed rows, and heads that run on valid rows.

Sources: torchvision ``models/detection/roi_heads.py`` and ``ops/poolers.py``; detectron2
``modeling/roi_heads/fast_rcnn.py`` and ``modeling/poolers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from segserve.export.models.detection_ops import nms_mask
from segserve.export.models.proposals import DROPPED, has_sides, take, top

NO_LABEL = -1


@dataclass(frozen=True)
class DetectionRule:
    """Which detections are reported.

    Parameters
    ----------
    score_threshold : float
        A score must be greater.
    iou_threshold : float
        Of the suppression, within a class.
    kept : int
        Of an image.
    min_side_px : float
        Boxes with a shorter side are dropped; negative keeps even boxes of no area.
    """

    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    kept: int = 100
    min_side_px: float = -1.0


class Detections(NamedTuple):
    """Fixed rows per image, by falling score.

    Parameters
    ----------
    boxes : Tensor
        [B, K, 4] in network pixels; zero past the last.
    scores : Tensor
        [B, K]; zero past the last.
    labels : Tensor
        [B, K] int64; -1 past the last.
    valid : Tensor
        [B, K] bool; true rows before all others.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    valid: Tensor

    @property
    def columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What leaves a network: boxes, scores, labels, and `valid_count` in place of the rows."""
        return self.boxes, self.scores, self.labels, valid_count(self.valid)


def valid_count(valid: Tensor) -> Tensor:
    """Give how many rows of each image hold something.

    Rows leave in the order of a sort by falling score in which those that hold nothing have the
    lowest, so the count says which they are.

    Parameters
    ----------
    valid : Tensor
        [B, K] bool; true rows before all others.

    Returns
    -------
    Tensor
        [B] int64, 0 to K.
    """
    return valid.sum(dim=1)


def select(boxes: Tensor, scores: Tensor, rule: DetectionRule, first_label: int) -> Detections:
    """Threshold, suppress within classes, keep the best; for every image apart.

    Parameters
    ----------
    boxes : Tensor
        [B, P, C, 4], clipped.
    scores : Tensor
        [B, P, C] in 0..1, without the background; minus infinity where there is no proposal.
    rule : DetectionRule
    first_label : int
        Of the first of the C classes.
    """
    batch, count, classes = scores.shape
    keep = scores > rule.score_threshold
    if rule.min_side_px >= 0:
        keep = keep & has_sides(boxes, rule.min_side_px)
    scores = torch.where(keep, scores, torch.full_like(scores, DROPPED))
    kept = nms_mask(
        boxes.permute(0, 2, 1, 3).reshape(-1, count, 4),
        scores.permute(0, 2, 1).reshape(-1, count),
        rule.iou_threshold,
    )
    kept = kept.reshape(batch, classes, count).permute(0, 2, 1)
    scores = torch.where(kept, scores, torch.full_like(scores, DROPPED)).flatten(1)
    best, index = top(scores, rule.kept)
    valid = best > DROPPED
    labels = torch.remainder(index, classes) + first_label
    chosen = take(boxes.flatten(1, 2), index)
    return Detections(
        torch.where(valid.unsqueeze(2), chosen, torch.zeros_like(chosen)),
        torch.where(valid, best, torch.zeros_like(best)),
        torch.where(valid, labels, torch.full_like(labels, NO_LABEL)),
        valid,
    )


def rows_of(boxes: Tensor, rows: Tensor) -> Tensor:
    """Give boxes [B, N, 4] by flat row as rois [R, 5]: image index, x1, y1, x2, y2."""
    image = torch.div(rows, boxes.shape[1], rounding_mode="floor")
    return torch.cat([image.to(boxes.dtype).unsqueeze(1), boxes.reshape(-1, 4)[rows]], dim=1)


def true_rows(valid: Tensor) -> Tensor:
    """Give the flat positions of the true ones of bool [B, N], int64 [R]."""
    return valid.flatten().nonzero().flatten()


def scatter_rows(values: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """Put values [R, ...] at flat rows of zeros [B, N, ...]; `like` [B, N] gives B and N."""
    tail = values.shape[1:]
    whole = values.new_zeros([like.shape[0] * like.shape[1], *tail])
    return whole.index_put([rows], values).reshape([like.shape[0], like.shape[1], *tail])


class LevelRule(NamedTuple):
    """Which pyramid level a box is pooled from: a box of 224 x 224 from the level of stride 16.

    Parameters
    ----------
    levels : int
        Of strides 4, 8, ...
    ratio_epsilon : float
        Added to the side over 224, as detectron2 does.
    level_epsilon : float
        Added to the logarithm, as torchvision does.
    """

    levels: int
    ratio_epsilon: float = 0.0
    level_epsilon: float = 0.0


_CANONICAL_SIDE_PX = 224.0
_CANONICAL_LEVEL = 4.0
_FINEST_LEVEL = 2.0


def levels_of(boxes: Tensor, rule: LevelRule) -> Tensor:
    """Give the level of boxes [R, 4], int64 [R] from 0 (stride 4)."""
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    octaves = torch.log2(side / _CANONICAL_SIDE_PX + rule.ratio_epsilon)
    level = torch.floor(_CANONICAL_LEVEL + octaves + rule.level_epsilon) - _FINEST_LEVEL
    return level.clamp(min=0.0, max=float(rule.levels - 1)).long()
