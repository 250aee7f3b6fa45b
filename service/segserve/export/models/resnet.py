"""ResNet trunks (v1.5: the stride sits on the 3x3 convolution) with dilated last stages.

Written from the description of torchvision's ``models/resnet.py`` (option
``replace_stride_with_dilation``); parameter names are the same, so its checkpoints fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, plus the shortcut.

    Parameters
    ----------
    in_channels, channels : int
        Channels that come in, and channels of the 3x3; ``4 * channels`` go out.
    stride, dilation : int
        Of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, 4 * channels, ceil(H / stride), ceil(W / stride)]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + shortcut)
        return out


class ResNetTrunk(nn.Module):
    """A ResNet without its pooling and classifier.

    The first block of a dilated stage keeps the dilation of the stage before; later blocks use
    the multiplied one.

    Parameters
    ----------
    depths : sequence of 4 int
        Blocks per stage: (3, 4, 6, 3) is ResNet-50, (3, 4, 23, 3) is ResNet-101.
    dilate : sequence of 3 bool
        For stages 2, 3 and 4: dilate instead of striding.
    width : int
        Channels of the stem; 64 is the published network.
    """

    def __init__(self, depths: Sequence[int], dilate: Sequence[bool], width: int = 64) -> None:
        super().__init__()
        self.low_channels = width * EXPANSION
        self.high_channels = width * 8 * EXPANSION
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        stages: list[nn.Sequential] = []
        in_channels, dilation = width, 1
        for index, (depth, dilated) in enumerate(zip(depths, (False, *dilate), strict=True)):
            channels, first_dilation = width * 2**index, dilation
            stride = 1 if index == 0 or dilated else 2
            dilation *= 2 if dilated else 1
            blocks = [Bottleneck(in_channels, channels, stride, first_dilation)]
            in_channels = channels * EXPANSION
            blocks += [Bottleneck(in_channels, channels, 1, dilation) for _ in range(1, depth)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    @override
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features of stage 1 (stride 4) and of stage 4.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, normalised.

        Returns
        -------
        tuple of Tensor
            [B, low_channels, H/4, W/4] and [B, high_channels, H/s, W/s], sizes rounded up at
            every stride.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        low = self.layer1(x)
        high = self.layer4(self.layer3(self.layer2(low)))
        return low, high
