"""Boxes as offsets from other boxes: what a network learns to say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from segserve.export.models.boxes import DeltaWeights

_BEND = 1.0 / 9


def encode(boxes: Tensor, references: Tensor, weights: DeltaWeights) -> Tensor:
    """Give the offsets from which `segserve.export.models.boxes.decode` makes `boxes`.

    Parameters
    ----------
    boxes, references : Tensor
        [N, 4] float32: x1, y1, x2, y2, no side zero.
    weights : DeltaWeights

    Returns
    -------
    Tensor
        [N, 4]: dx, dy, log of width and of height, by their weights.
    """
    sides, reference_sides = (box[:, 2:] - box[:, :2] for box in (boxes, references))
    centres, reference_centres = (
        box[:, :2] + 0.5 * side for box, side in ((boxes, sides), (references, reference_sides))
    )
    moved = (centres - reference_centres) / reference_sides * weights.centre
    grown = torch.log(sides / reference_sides) * weights.side
    return torch.cat([moved, grown], dim=1)


def offset_loss(offsets: Tensor, wanted: Tensor) -> Tensor:
    """Sum smooth L1 (bent at 1/9) over [N, 4]."""
    return functional.smooth_l1_loss(offsets, wanted, beta=_BEND, reduction="sum")
