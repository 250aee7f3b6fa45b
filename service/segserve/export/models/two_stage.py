"""The second stage of Faster and Mask R-CNN: classes, boxes and masks of proposals.

Sources: He et al., "Mask R-CNN" (2017); torchvision ``models/detection/roi_heads.py``; detectron2
``modeling/roi_heads``. Heads run on the rows that hold something, of all images together; what
leaves has fixed rows per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from segserve.export.models.boxes import DeltaWeights, clip, decode
from segserve.export.models.detection_ops import pyramid_roi_align
from segserve.export.models.detections import (
    DetectionRule,
    Detections,
    LevelRule,
    levels_of,
    rows_of,
    scatter_rows,
    select,
    true_rows,
)
from segserve.export.models.proposals import Proposals
from segserve.export.models.roi_align import Pooling

STAGE_TWO = DeltaWeights(10.0, 5.0)
"""Of the offsets of proposals."""
_FINEST_STRIDE_PX = 4


@dataclass(frozen=True)
class BoxRule:
    """How proposals are pooled and judged.

    Parameters
    ----------
    levels : LevelRule
    pooling : Pooling
    detections : DetectionRule
    background_first : bool
        Class 0 is the background (torchvision), and has offsets too; false: the last class is,
        without offsets (detectron2), and labels begin at 0.
    """

    levels: LevelRule
    pooling: Pooling
    detections: DetectionRule
    background_first: bool


def pool_rows(pyramid: list[Tensor], rois: Tensor, levels: LevelRule, pooling: Pooling) -> Tensor:
    """Pool rois [R, 5] from the levels that their sizes ask for."""
    scales = [1.0 / (_FINEST_STRIDE_PX << level) for level in range(levels.levels)]
    where = levels_of(rois[:, 1:], levels)
    return pyramid_roi_align(pyramid[: levels.levels], rois, where, scales, pooling)


def box_stage(
    pyramid: list[Tensor],
    proposals: Proposals,
    image_size: Tensor,
    head: Callable[[Tensor], tuple[Tensor, Tensor]],
    rule: BoxRule,
) -> Detections:
    """Classify and move proposals.

    Parameters
    ----------
    pyramid : list of Tensor
        [B, C, h, w] at strides 4, 8, ...
    proposals : Proposals
    image_size : Tensor
        [B, 2] float32: height and width of the picture inside the network's input.
    head : callable
        Maps [R, C, s, s] to class logits [R, classes + 1] and offsets [R, 4 * classes], or
        4 * (classes + 1) with the background first.
    rule : BoxRule
    """
    rows = true_rows(proposals.valid)
    rois = rows_of(proposals.boxes, rows)
    logits, offsets = head(pool_rows(pyramid, rois, rule.levels, rule.pooling))
    scores = torch.softmax(logits, dim=1)
    if rule.background_first:
        scores, offsets = scores[:, 1:], offsets[:, 4:]
    else:
        scores = scores[:, :-1]
    # Rows without a proposal score zero, below every threshold.
    scores = scatter_rows(scores, rows, proposals.logits)
    deltas = scatter_rows(offsets.reshape(-1, scores.shape[2], 4), rows, proposals.logits)
    boxes = clip(decode(deltas, proposals.boxes.unsqueeze(2), STAGE_TWO), image_size)
    return select(boxes, scores, rule.detections, first_label=int(rule.background_first))


def mask_stage(
    pyramid: list[Tensor],
    detections: Detections,
    head: Callable[[Tensor], Tensor],
    levels: LevelRule,
    pooling: Pooling,
) -> Tensor:
    """Give each detection's mask, of its own class.

    Parameters
    ----------
    pyramid, levels, pooling
        See `box_stage`.
    detections : Detections
    head : callable
        Maps [R, C, s, s] to mask logits [R, classes, m, m]; labels are channels.

    Returns
    -------
    Tensor
        [B, K, m, m] float32 probabilities; zero where there is no detection.
    """
    rows = true_rows(detections.valid)
    pooled = pool_rows(pyramid, rows_of(detections.boxes, rows), levels, pooling)
    masks = torch.sigmoid(channel_of(head(pooled), detections.labels.flatten()[rows]))
    return scatter_rows(masks, rows, detections.scores)


def channel_of(values: Tensor, labels: Tensor) -> Tensor:
    """Give of [R, C, ...] the channel that `labels` [R] names, [R, ...]."""
    tail = values.shape[2:]
    index = labels.reshape([-1] + [1] * (values.ndim - 1)).expand(-1, 1, *tail)
    return torch.gather(values, 1, index).squeeze(1)
