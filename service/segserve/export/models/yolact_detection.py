"""Fast NMS: YOLACT's detections in fixed rows, without a loop and without an NMS operator.

Written from the paper (Bolya et al., 2019, section 5) and the description of
``layers/functions/detection.py`` and ``layers/box_utils.py`` of dbolya/yolact. A box falls when any
box of its class with a higher score overlaps it by more than the threshold, even one that fell
itself; so one matrix of overlaps says everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from segserve.export.models.detections import valid_count
from segserve.export.models.proposals import take

_VARIANCES = (0.1, 0.2)


@dataclass(frozen=True)
class FastNmsRule:
    """Thresholds and caps, by default the official ones.

    Parameters
    ----------
    score_threshold : float
        Of a prior's best class: it must be greater. Other classes of such a prior have none.
    iou_threshold : float
        A box falls above it.
    candidates : int
        Best boxes that are compared, of each class, or of all in the cross-class variant.
    rows : int
        Best boxes that leave.
    cross_class : bool
        Each prior counts for its best class alone, and boxes of all classes are compared.
    """

    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    candidates: int = 200
    rows: int = 100
    cross_class: bool = False


def decoded(offsets: Tensor, priors: Tensor, variances: tuple[float, float] = _VARIANCES) -> Tensor:
    """Give boxes x1, y1, x2, y2 [B, N, 4] from offsets [B, N, 4] and priors [N, 4].

    Offsets of centres and of sides were divided by the two `variances` in training.
    """
    sizes = priors[:, 2:] * torch.exp(offsets[..., 2:] * variances[1])
    centres = priors[:, :2] + offsets[..., :2] * variances[0] * priors[:, 2:]
    low = centres - sizes / 2
    return torch.cat([low, low + sizes], dim=-1)


def overlaps(boxes: Tensor) -> Tensor:
    """Give the IoU of all pairs, [..., n, n], of boxes [..., n, 4]."""
    low = torch.maximum(boxes[..., :, None, :2], boxes[..., None, :, :2])
    high = torch.minimum(boxes[..., :, None, 2:], boxes[..., None, :, 2:])
    sides = (high - low).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return shared / (area[..., :, None] + area[..., None, :] - shared)


class FastNms(nn.Module):
    """From all priors to the best boxes.

    Parameters
    ----------
    rule : FastNmsRule
    """

    def __init__(self, rule: FastNmsRule) -> None:
        super().__init__()
        self.score_threshold = rule.score_threshold
        self.iou_threshold = rule.iou_threshold
        self.candidates = rule.candidates
        self.rows = rule.rows
        self.cross_class = rule.cross_class
        # Not a number below all: a probability may be as small as zero.
        self.dropped = float("-inf")

    @override
    def forward(
        self, offsets: Tensor, confidence: Tensor, coefficients: Tensor, priors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Choose.

        Parameters
        ----------
        offsets : Tensor
            [B, N, 4].
        confidence : Tensor
            [B, N, 1 + classes], background first.
        coefficients : Tensor
            [B, N, D].
        priors : Tensor
            [N, 4].

        Returns
        -------
        tuple of Tensor
            boxes [B, K, 4], scores [B, K], labels [B, K] int64, valid [B] int64, coefficients
            [B, K, D]. Falling scores; rows past `valid` are zero, label -1.
        """
        best, label = confidence[..., 1:].max(dim=-1)
        is_kept = best > self.score_threshold
        if self.cross_class:
            scores = torch.where(is_kept, best, self.dropped)[:, None]
        else:
            every = confidence[..., 1:].transpose(1, 2)
            scores = torch.where(is_kept[:, None], every, self.dropped)
        groups = scores.shape[1]
        count = min(self.candidates, scores.shape[2])
        score, prior = scores.topk(count, dim=2)
        boxes = take(decoded(offsets, priors), prior.flatten(1))
        grouped = boxes.reshape(boxes.shape[0], groups, count, 4)
        worst = overlaps(grouped).triu(1).amax(dim=2)
        score = torch.where(worst <= self.iou_threshold, score, self.dropped).flatten(1)
        missing = score.new_full([score.shape[0], self.rows], self.dropped)
        kept, row = torch.cat([score, missing], dim=1).topk(self.rows, dim=1)
        row = row.clamp(max=groups * count - 1)
        valid = kept > self.dropped
        chosen = prior.flatten(1).gather(1, row)
        labels = label.gather(1, chosen) if self.cross_class else row // count
        keep = valid[..., None]
        return (
            torch.where(keep, take(boxes, row), 0.0),
            torch.where(valid, kept, 0.0),
            torch.where(valid, labels, -1),
            valid_count(valid),
            torch.where(keep, take(coefficients, chosen), 0.0),
        )
