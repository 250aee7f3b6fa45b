"""Anchors, and boxes as offsets from other boxes, as torchvision and detectron2 write them.

Boxes are x1, y1, x2, y2 in pixels of the network's input, x2 and y2 exclusive. Sources:
torchvision ``models/detection/{anchor_utils,_utils}.py``; detectron2
``modeling/{anchor_generator,box_regression}.py``; Ren et al., "Faster R-CNN" (2015), equation 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

MAX_LOG_GROWTH = math.log(1000.0 / 16)
"""A box grows at most to 62.5 times its anchor's side."""


class DeltaWeights(NamedTuple):
    """What offsets were multiplied by in training: of the centre, and of the logarithm of a side.

    Parameters
    ----------
    centre, side : float
    """

    centre: float = 1.0
    side: float = 1.0


def cell_anchors(size_px: float, ratios: tuple[float, ...]) -> Tensor:
    """Give anchors of one area around the origin.

    Parameters
    ----------
    size_px : float
        Square root of the area.
    ratios : tuple of float
        Height over width.

    Returns
    -------
    Tensor
        [len(ratios), 4] float32.
    """
    ratio = torch.tensor(ratios)
    widths, heights = size_px / ratio.sqrt(), size_px * ratio.sqrt()
    return torch.stack([-widths, -heights, widths, heights], dim=1) / 2


def grid_anchors(cells: Tensor, height: int, width: int, stride_yx: tuple[int, int]) -> Tensor:
    """Repeat the anchors of one cell at every position of a feature map.

    Parameters
    ----------
    cells : Tensor
        [A, 4], around the origin.
    height, width : int
        Of the feature map.
    stride_yx : (int, int)
        Input pixels per feature pixel.

    Returns
    -------
    Tensor
        [height * width * A, 4], anchors of a position together, positions row by row.
    """
    ys = (torch.arange(height, device=cells.device) * stride_yx[0]).to(cells.dtype)
    xs = (torch.arange(width, device=cells.device) * stride_yx[1]).to(cells.dtype)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=2).reshape(-1, 1, 4)
    return (shifts + cells).reshape(-1, 4)


def decode(deltas: Tensor, boxes: Tensor, weights: DeltaWeights) -> Tensor:
    """Move and stretch boxes.

    Parameters
    ----------
    deltas : Tensor
        [..., 4] float32: dx, dy, log of width and of height.
    boxes : Tensor
        [..., 4], broadcast against `deltas`.
    weights : DeltaWeights

    Returns
    -------
    Tensor
        [..., 4]: x1, y1, x2, y2.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + 0.5 * sides
    moved = deltas[..., :2] / weights.centre * sides + centres
    grown = torch.exp((deltas[..., 2:] / weights.side).clamp(max=MAX_LOG_GROWTH)) * sides
    return torch.cat([moved - 0.5 * grown, moved + 0.5 * grown], dim=-1)


def clip(boxes: Tensor, image_size: Tensor) -> Tensor:
    """Cut boxes at their picture's borders.

    Parameters
    ----------
    boxes : Tensor
        [B, ..., 4].
    image_size : Tensor
        [B, 2] float32: height and width of the picture inside the network's input.
    """
    shape = [-1] + [1] * (boxes.ndim - 2) + [4]
    limits = image_size[:, [1, 0, 1, 0]].reshape(shape)
    return torch.minimum(boxes.clamp(min=0.0), limits)
