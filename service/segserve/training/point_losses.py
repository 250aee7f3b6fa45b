"""PointRend's training: at which points, and against what.

Source: Kirillov et al., "PointRend" (2020), section 3.3, and the description of detectron2's
``projects/PointRend/point_rend/point_features.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from segserve.export.models.points import in_boxes, sample_points
from segserve.training.rcnn_losses import Rois, Truths

_OVERSAMPLED = 3
_IMPORTANT = 0.75
_ON_OBJECT = 0.5


def uncertain_points(judge: Callable[[Tensor], Tensor], rows: int, count: int) -> Tensor:
    """Draw points, most of them where the coarse mask is nearest to undecided.

    Three times as many are drawn as are wanted; three quarters of the wanted are the least certain
    of them, the rest is drawn anew.

    Parameters
    ----------
    judge : callable
        Maps points [rows, P, 2] in 0..1 to logits [rows, P].
    rows, count : int

    Returns
    -------
    Tensor
        [rows, count, 2].
    """
    drawn = torch.rand(rows, count * _OVERSAMPLED, 2)
    important = int(count * _IMPORTANT)
    with torch.no_grad():
        _, index = torch.topk(-judge(drawn).abs(), important, dim=1)
    chosen = torch.gather(drawn, 1, index.unsqueeze(2).expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(rows, count - important, 2)], dim=1)


def coarse_at(coarse: Tensor, points: Tensor) -> Tensor:
    """Give what coarse masks [R, 1, s, s] say at points [R, P, 2]: [R, P]."""
    own = torch.arange(len(coarse), device=coarse.device)
    return sample_points(coarse, own, points * coarse.shape[3])[:, 0]


def truth_at(points: Tensor, rois: Rois, truths: Truths) -> Tensor:
    """Give whether points [R, P, 2] of the rois are on the rois' objects: [R, P], 0 or 1."""
    at = in_boxes(points, rois.boxes[:, 1:])
    values = sample_points(truths.masks[:, None], rois.objects, at)[:, 0]
    return (values >= _ON_OBJECT).to(values.dtype)


def point_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross-entropy of [R, P]; zero when there are no points."""
    if not logits.numel():
        return logits.sum()
    return functional.binary_cross_entropy_with_logits(logits, wanted)
