"""detectron2's ResNet for DeepLab: a deeper stem, and a last stage of rising dilation.

Written from the description of detectron2's ``projects/DeepLab/deeplab/resnet.py``: the stride sits
on the 3x3 convolution, batch norms have their usual eps of 1e-5, and the last stage's blocks are
dilated by 2, 4 and 8 in place of its stride.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.resnet import EXPANSION

_LAST_DILATIONS = (2, 4, 8)


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
        y: Tensor = self.norm(self._conv_forward(x, self.weight, self.bias))
        return y


class ActiveConvolution(NormedConvolution):
    """The same with ReLU."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self._conv_forward(x, self.weight, self.bias)))


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
    depths : tuple of 4 int
        Blocks per stage; at most three in the last one.
    width : int
        Channels of the stem's first convolutions.
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
