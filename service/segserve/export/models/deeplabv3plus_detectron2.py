"""DeepLabV3+ with the parameter names of detectron2's checkpoints.

Written from the description of detectron2's ``projects/DeepLab/deeplab/{resnet,semantic_seg}.py``
and ``layers/aspp.py``. Beside other names than VainF's it has a deeper stem, a last stage of rising
dilation, a pooled branch that sees a window in place of the whole map, and two convolutions behind
the concatenation. The logits leave at stride 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.resnet import EXPANSION

_RATES = (6, 12, 18)
_LAST_DILATIONS = (2, 4, 8)
_LOW_LEVEL = 48


@dataclass(frozen=True)
class DeepLabWidths:
    """Sizes of the network.

    Parameters
    ----------
    depths : tuple of 4 int
        Blocks per stage of the ResNet; at most three in the last one.
    stem : int
        Channels of the stem's first convolutions; 64 is the published network.
    decoder : int
        Channels of the pyramid's branches and of the decoder.
    window : (height, width)
        Of the pooled branch, in positions at stride 16.
    """

    depths: tuple[int, int, int, int] = (3, 4, 23, 3)
    stem: int = 64
    decoder: int = 256
    window: tuple[int, int] = (32, 64)


class NormedConvolution(nn.Conv2d):
    """A size-keeping convolution that holds its batch norm.

    Parameters
    ----------
    channels_in, channels, kernel, stride, dilation : int
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            channels_in, channels, kernel, stride, padding, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)

    @override
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(super().forward(x))
        return y


class ActiveConvolution(NormedConvolution):
    """The same with ReLU."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x))


class DeepLabBottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, plus the shortcut; the stride sits on the 3x3.

    Parameters
    ----------
    channels_in, channels, stride, dilation : int
    """

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.shortcut: nn.Module | None = None
        if channels_in != channels * EXPANSION:
            self.shortcut = NormedConvolution(channels_in, channels * EXPANSION, 1, stride)
        self.conv1 = ActiveConvolution(channels_in, channels, 1)
        self.conv2 = ActiveConvolution(channels, channels, 3, stride, dilation)
        self.conv3 = NormedConvolution(channels, channels * EXPANSION, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(self.conv2(self.conv1(x)))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class DeepLabStem(nn.Module):
    """Three 3x3 convolutions, the first of stride 2, and the max pooling.

    Parameters
    ----------
    width : int
        Twice as many channels go out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ActiveConvolution(3, width, 3, 2)
        self.conv2 = ActiveConvolution(width, width, 3)
        self.conv3 = ActiveConvolution(width, width * 2, 3)

    @override
    def forward(self, image: Tensor) -> Tensor:
        x = self.conv3(self.conv2(self.conv1(image)))
        return functional.max_pool2d(x, 3, 2, padding=1)


class DeepLabResNet(nn.Module):
    """A ResNet of output stride 16 whose last stage is dilated by 2, 4 and 8.

    Parameters
    ----------
    depths, width
        See `DeepLabWidths`.
    """

    def __init__(self, depths: tuple[int, int, int, int], width: int) -> None:
        super().__init__()
        self.stem = DeepLabStem(width)
        stages: list[nn.Sequential] = []
        channels_in = width * 2
        strides = (1, 2, 2, 1)
        for index, (depth, stride) in enumerate(zip(depths, strides, strict=True)):
            channels = width * 2**index
            dilations = _LAST_DILATIONS[:depth] if index == len(depths) - 1 else (1,) * depth
            blocks = []
            for block, dilation in enumerate(dilations):
                step = stride if block == 0 else 1
                blocks.append(DeepLabBottleneck(channels_in, channels, step, dilation))
                channels_in = channels * EXPANSION
            stages.append(nn.Sequential(*blocks))
        self.res2, self.res3, self.res4, self.res5 = stages

    @override
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the first and the last stage's features, at strides 4 and 16."""
        low = self.res2(self.stem(image))
        return low, self.res5(self.res4(self.res3(low)))


class WindowedPyramid(nn.Module):
    """Five views of the same features: 1x1, three dilated 3x3, and the mean of a window.

    Parameters
    ----------
    channels_in, channels : int
    window : (height, width)
    """

    def __init__(self, channels_in: int, channels: int, window: tuple[int, int]) -> None:
        super().__init__()
        # The mean of a window is the mean of its rows' means; this way it costs a thirtieth.
        means = nn.Sequential(
            nn.AvgPool2d((window[0], 1), stride=1), nn.AvgPool2d((1, window[1]), stride=1)
        )
        pooled = nn.Sequential(means, nn.Conv2d(channels_in, channels, 1), nn.ReLU())
        dilated = (ActiveConvolution(channels_in, channels, 3, 1, rate) for rate in _RATES)
        self.convs = nn.ModuleList([ActiveConvolution(channels_in, channels, 1), *dilated, pooled])
        self.project = ActiveConvolution(channels * len(self.convs), channels, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels_in, h, w] to [B, channels, h, w]; no smaller than the window."""
        views = [branch(x) for branch in self.convs]
        views[-1] = functional.interpolate(
            views[-1], size=x.shape[2:], mode="bilinear", align_corners=False
        )
        out: Tensor = self.project(torch.cat(views, dim=1))
        return out


class Detectron2DeepLabHead(nn.Module):
    """Pyramid, decoder and classifier.

    Parameters
    ----------
    low_channels, high_channels : int
        Of the two feature maps.
    num_classes : int
    widths : DeepLabWidths
    """

    def __init__(
        self, low_channels: int, high_channels: int, num_classes: int, widths: DeepLabWidths
    ) -> None:
        super().__init__()
        inner = widths.decoder
        fuse = nn.Sequential(
            ActiveConvolution(_LOW_LEVEL + inner, inner, 3), ActiveConvolution(inner, inner, 3)
        )
        low = {"project_conv": ActiveConvolution(low_channels, _LOW_LEVEL, 1), "fuse_conv": fuse}
        high = {"project_conv": WindowedPyramid(high_channels, inner, widths.window)}
        self.decoder = nn.ModuleDict({"res2": nn.ModuleDict(low), "res5": nn.ModuleDict(high)})
        self.predictor = nn.Conv2d(inner, num_classes, 1)

    @override
    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map the two feature maps to logits [B, num_classes, h, w] at the size of `low`."""
        near = self.decoder.get_submodule("res2.project_conv")(low)
        far = functional.interpolate(
            self.decoder.get_submodule("res5.project_conv")(high),
            size=near.shape[2:],
            mode="bilinear",
            align_corners=False,
        )
        joined = self.decoder.get_submodule("res2.fuse_conv")(torch.cat([near, far], dim=1))
        logits: Tensor = self.predictor(joined)
        return logits


class Detectron2DeepLab(nn.Module):
    """Trunk and head.

    Parameters
    ----------
    num_classes : int
    widths : DeepLabWidths, optional
    """

    def __init__(self, num_classes: int, widths: DeepLabWidths | None = None) -> None:
        super().__init__()
        widths = widths or DeepLabWidths()
        self.backbone = DeepLabResNet(widths.depths, widths.stem)
        low = widths.stem * EXPANSION
        self.sem_seg_head = Detectron2DeepLabHead(low, low * 8, num_classes, widths)

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Give logits at a quarter of the image's size.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, RGB, normalised; at least 16 times the window.

        Returns
        -------
        Tensor
            [B, num_classes, H / 4, W / 4] float32, sizes rounded up.
        """
        logits: Tensor = self.sem_seg_head(*self.backbone(image))
        return logits
