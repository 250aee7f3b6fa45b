"""Features at points, and the grids that points are chosen from.

Source: Kirillov et al., "PointRend" (2020), and the description of detectron2's
``projects/PointRend/point_rend/point_features.py``. Points are x, y relative to a box or map,
0 at its left or upper border and 1 at the other.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sample_points(features: Tensor, image: Tensor, at: Tensor) -> Tensor:
    """Interpolate bilinearly; beyond the border there is zero.

    The same as ``grid_sample`` with ``align_corners=False`` and zero padding, but every row of
    points names its own image, so rows of several images go together.

    Parameters
    ----------
    features : Tensor
        [B, C, h, w] float32.
    image : Tensor
        [R] int64: which of B.
    at : Tensor
        [R, P, 2] float32: x and y in pixels of `features`; the first pixel's centre is 0.5.

    Returns
    -------
    Tensor
        [R, C, P].
    """
    channels, height, width = features.shape[1], features.shape[2], features.shape[3]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    base = (image * (height * width)).unsqueeze(1)
    corner = (at - 0.5).floor()
    share = at - 0.5 - corner
    total = torch.zeros([], dtype=features.dtype, device=features.device)
    for right in (0, 1):
        for below in (0, 1):
            x, y = corner[..., 0] + right, corner[..., 1] + below
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            across = share[..., 0] if right else 1 - share[..., 0]
            down = share[..., 1] if below else 1 - share[..., 1]
            column = x.long().clamp(min=0, max=width - 1)
            row = y.long().clamp(min=0, max=height - 1)
            values = table[base + row * width + column]
            total = total + values * (across * down * inside).unsqueeze(2)
    return total.permute(0, 2, 1)


def regular_grid(side: int, like: Tensor) -> Tensor:
    """Give the centres of side x side cells, row by row, [side * side, 2]."""
    centres = (torch.arange(side, device=like.device).to(like.dtype) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], dim=2).reshape(-1, 2)


def in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Bring points [R, P, 2] relative to boxes [R, 4] into the boxes' own pixels."""
    corner, sides = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    return points * sides + corner


def most_uncertain(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Give the cells of maps [R, s, s] whose logits are nearest to zero.

    Returns
    -------
    index : Tensor
        [R, count] int64 into the flat map.
    points : Tensor
        [R, count, 2]: centres of those cells, relative to the map.
    """
    side = logits.shape[2]
    _, index = torch.topk(-logits.flatten(1).abs(), count, dim=1)
    x = torch.remainder(index, side)
    y = torch.div(index, side, rounding_mode="floor")
    return index, (torch.stack([x, y], dim=2).to(logits.dtype) + 0.5) / side
