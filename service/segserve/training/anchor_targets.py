"""Which anchor or proposal stands for which object, and which of them are learnt from.

Source: Ren et al., "Faster R-CNN" (2015), section 3.1.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

BACKGROUND = -1
IGNORED = -2


def ious(first: Tensor, second: Tensor) -> Tensor:
    """Give the IoU of all pairs of boxes [A, 4] and [B, 4]: [A, B]; 0 where both are empty."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp(min=0.0).prod(dim=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    either = sizes[0][:, None] + sizes[1][None, :] - shared
    return shared / either.clamp(min=1e-9)


def assign(
    anchors: Tensor, boxes: Tensor, high: float, low: float, *, keep_best: bool = True
) -> Tensor:
    """Give each anchor the object that it overlaps most, if it does enough.

    Parameters
    ----------
    anchors, boxes : Tensor
        [A, 4] and [N, 4] float32: x1, y1, x2, y2.
    high, low : float
        From an IoU of `high` on an anchor stands for the object, under `low` for the background,
        between them for nothing.
    keep_best : bool
        The anchors that overlap an object most, all of equal IoU, stand for it whatever the IoU,
        as long as it is more than zero.

    Returns
    -------
    Tensor
        int64 [A]: row of the object, -1 for the background, -2 for ignored.
    """
    out = torch.full([len(anchors)], BACKGROUND, dtype=torch.int64)
    if not len(boxes) or not len(anchors):
        return out
    overlap = ious(anchors, boxes)
    most, rows = overlap.max(dim=1)
    out[most >= low] = IGNORED
    out[most >= high] = rows[most >= high]
    if keep_best:
        best = overlap.max(dim=0).values
        anchor, row = ((overlap == best) & (best > 0)).nonzero(as_tuple=True)
        out[anchor] = row
    return out


def sample(assigned: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Choose by chance (torch's) what a loss is made of.

    Parameters
    ----------
    assigned : Tensor
        int64 [A]; see `assign`.
    count : int
        At most so many in all.
    share : float
        At most so much of `count` stands for objects; the background fills up.

    Returns
    -------
    objects, background : Tensor
        int64 indices into `assigned`.
    """
    chosen: list[Tensor] = []
    for rows, most in (
        ((assigned >= 0).nonzero().flatten(), int(count * share)),
        ((assigned == BACKGROUND).nonzero().flatten(), count),
    ):
        left = min(most, count - sum(len(part) for part in chosen))
        chosen.append(rows[torch.randperm(len(rows))[:left]])
    return chosen[0], chosen[1]
