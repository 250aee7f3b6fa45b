"""RoIAlign in plain torch: what eager networks and TorchScript run.

Written from He et al., "Mask R-CNN" (2017), section 3, and the description of the CPU operator of
torchvision (``csrc/ops/cpu/roi_align_common.h``), which detectron2 uses too. Every function here
compiles under ``torch.jit.script``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Pooling(NamedTuple):
    """How a box becomes a square.

    Parameters
    ----------
    output_size : int
        Cells on each side.
    sampling_ratio : int
        Samples on each side of a cell; 0 takes ``ceil(roi side / output_size)``.
    aligned : bool
        Move by half a feature pixel (detectron2's ROIAlignV2); false: boxes are at least 1 wide.
    """

    output_size: int
    sampling_ratio: int
    aligned: bool


def _taps(at: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give lower and upper neighbour of positions on one axis, and the weight of each.

    A position more than one pixel outside weighs nothing; nearer ones take the border's pixel.
    """
    inside = ((at >= -1.0) & (at <= size)).to(at.dtype)
    at = at.clamp(min=0.0)
    low = at.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = torch.where(low >= size - 1, torch.zeros_like(at), at - low)
    return low, high, (1.0 - share) * inside, share * inside


def _positions(start: Tensor, length: Tensor, bins: int, samples: int) -> Tensor:
    """Give sample positions [R, bins * samples] along one axis."""
    steps = torch.arange(bins * samples, device=start.device)
    whole = torch.div(steps, samples, rounding_mode="floor").to(start.dtype)
    part = torch.remainder(steps, samples).to(start.dtype) + 0.5
    bin_length = (length / bins).unsqueeze(1)
    return start.unsqueeze(1) + whole * bin_length + part * bin_length / samples


def _mean_of_samples(
    table: Tensor, base: Tensor, ys: Tensor, xs: Tensor, size: tuple[int, int], bins: int
) -> Tensor:
    """Sample rows of `table` [B * h * w, C] bilinearly; average in each of bins x bins cells."""
    y_low, y_high, y_low_weight, y_high_weight = _taps(ys, size[0])
    x_low, x_high, x_low_weight, x_high_weight = _taps(xs, size[1])
    channels = table.shape[1]
    total = torch.zeros(
        [ys.shape[0], ys.shape[1], xs.shape[1], channels], dtype=table.dtype, device=table.device
    )
    for y, y_weight in [(y_low, y_low_weight), (y_high, y_high_weight)]:
        for x, x_weight in [(x_low, x_low_weight), (x_high, x_high_weight)]:
            index = base[:, None, None] + y[:, :, None] * size[1] + x[:, None, :]
            weight = y_weight[:, :, None] * x_weight[:, None, :]
            total += table[index] * weight.unsqueeze(3)
    cells = total.reshape(ys.shape[0], bins, ys.shape[1] // bins, bins, -1, channels)
    return cells.mean(dim=[2, 4]).permute(0, 3, 1, 2)


def roi_align_plain(
    features: Tensor,
    rois: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,  # noqa: FBT001  TorchScript knows no keyword-only arguments
) -> Tensor:
    """See `segserve.export.models.detection_ops.roi_align`."""
    height, width, channels = features.shape[2], features.shape[3], features.shape[1]
    offset = 0.5 if aligned else 0.0
    corners = rois[:, 1:].float() * spatial_scale - offset
    lengths = corners[:, 2:] - corners[:, :2]
    if not aligned:
        lengths = lengths.clamp(min=1.0)
    if sampling_ratio > 0:
        samples = torch.full_like(lengths, float(sampling_ratio)).long()
    else:
        samples = (lengths / output_size).ceil().long().clamp(min=0)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    base = rois[:, 0].long() * (height * width)
    shape = [rois.shape[0], channels, output_size, output_size]
    pooled = torch.zeros(shape, dtype=features.dtype, device=features.device)
    kinds: list[list[int]] = torch.unique(samples, dim=0).tolist()
    for kind in kinds:
        across, down = kind[0], kind[1]
        if across < 1 or down < 1:
            continue
        same = ((samples[:, 0] == across) & (samples[:, 1] == down)).nonzero().flatten()
        per_roi = across * down * output_size * output_size * channels
        for rows in torch.split(same, max((1 << 24) // per_roi, 1)):  # 64 MiB at a time
            xs = _positions(corners[rows, 0], lengths[rows, 0], output_size, across)
            ys = _positions(corners[rows, 1], lengths[rows, 1], output_size, down)
            pooled[rows] = _mean_of_samples(table, base[rows], ys, xs, (height, width), output_size)
    return pooled


def pyramid_roi_align_plain(
    features: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    spatial_scales: list[float],
    pooling: Pooling,
) -> Tensor:
    """See `segserve.export.models.detection_ops.pyramid_roi_align`."""
    first, side = features[0], pooling.output_size
    shape = [rois.shape[0], first.shape[1], side, side]
    pooled = torch.zeros(shape, dtype=first.dtype, device=first.device)
    for level, feature in enumerate(features):
        rows = (levels == level).nonzero().flatten()
        pooled[rows] = roi_align_plain(
            feature,
            rois[rows],
            side,
            spatial_scales[level],
            pooling.sampling_ratio,
            pooling.aligned,
        )
    return pooled
