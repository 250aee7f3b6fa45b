"""The feature pyramid and convolution blocks of mmdetection 1.x, with its parameter names.

Written from the description of ``mmdet/models/necks/fpn.py`` and
``mmdet/models/utils/conv_module.py`` as the repositories WXinlong/SOLO and xieenze/PolarMask carry
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

_GROUPS = 32


class PlainConv(nn.Module):
    """A convolution with bias, under the name ``conv``.

    Parameters
    ----------
    in_channels, out_channels, kernel, stride : int
        Padding is half the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B, in_channels, H, W]."""
        out: Tensor = self.conv(x)
        return out


class ConvNormReLU(nn.Module):
    """Size-keeping convolution without bias, group norm of 32 groups, ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel : int
        Fewer output channels than 64 are normalised two by two.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
        self.gn = nn.GroupNorm(min(_GROUPS, max(out_channels // 2, 1)), out_channels)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W], not negative."""
        return functional.relu(self.gn(self.conv(x)))


def tower(in_channels: int, channels: int, depth: int) -> nn.Sequential:
    """Stack `depth` blocks of 3x3 `ConvNormReLU`."""
    widths = [in_channels] + [channels] * depth
    return nn.Sequential(*(ConvNormReLU(widths[i], channels) for i in range(depth)))


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Resize [B, C, h, w] bilinearly, ``align_corners=False``, without antialiasing."""
    return functional.interpolate(x, size=[height, width], mode="bilinear", align_corners=False)


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions, addition from the top down, 3x3 convolutions, extra levels.

    Parameters
    ----------
    in_channels : sequence of int
        Of the trunk's stages, finest first.
    channels : int
        Of every level.
    extra : {"pool", "conv"}
        One level more by taking every second pixel of the last, or two more by 3x3 convolutions of
        stride 2, a ReLU before the second.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, extra: Literal["pool", "conv"] = "pool"
    ) -> None:
        super().__init__()
        self.stages = len(in_channels)
        self.lateral_convs = nn.ModuleList([PlainConv(c, channels, 1) for c in in_channels])
        outputs = [PlainConv(channels, channels, 3) for _ in in_channels]
        if extra == "conv":
            outputs += [PlainConv(channels, channels, 3, 2) for _ in range(2)]
        self.fpn_convs = nn.ModuleList(outputs)

    @override
    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Give the levels, finest first.

        Parameters
        ----------
        stages : list of Tensor
            [B, C_i, h_i, w_i], the last ``len(in_channels)`` of which are used.

        Returns
        -------
        list of Tensor
            [B, channels, h_i, w_i], then the extra levels at half of the size each, rounded up.
        """
        first = len(stages) - self.stages
        laterals = [conv(stages[first + i]) for i, conv in enumerate(self.lateral_convs)]
        for i in range(self.stages - 1, 0, -1):
            size = laterals[i - 1].shape
            above = functional.interpolate(laterals[i], size=[size[2], size[3]], mode="nearest")
            laterals[i - 1] = laterals[i - 1] + above
        levels: list[Tensor] = []
        for i, conv in enumerate(self.fpn_convs):
            if i < self.stages:
                levels.append(conv(laterals[i]))
            else:
                above = levels[-1]
                levels.append(conv(functional.relu(above) if i > self.stages else above))
        if len(levels) == self.stages:
            levels.append(functional.max_pool2d(levels[-1], 1, stride=2))
        return levels


def coordinates(x: Tensor) -> Tensor:
    """Give x, then y, of every pixel of [B, C, h, w]: [B, 2, h, w], -1 to 1 from edge to edge."""
    height, width = x.shape[2], x.shape[3]
    across = torch.arange(width, dtype=x.dtype, device=x.device) * (2.0 / max(width - 1, 1)) - 1.0
    down = torch.arange(height, dtype=x.dtype, device=x.device) * (2.0 / max(height - 1, 1)) - 1.0
    shape = [x.shape[0], 1, height, width]
    return torch.cat(
        [across[None, None, None, :].expand(shape), down[None, None, :, None].expand(shape)], dim=1
    )
