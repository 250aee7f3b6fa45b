"""ResNet trunks (v1.5: the stride sits on the 3x3 convolution) with dilated last stages.

Written from the description of torchvision's ``models/resnet.py`` (option
``replace_stride_with_dilation``); parameter names are the same, so its checkpoints fit. Those of
mmdetection 1.x have the same names; its "caffe" style has the stride on the first 1x1.
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
    stride_on_1x1 : bool
        The stride sits on the first 1x1 instead, as in the first ResNets.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        dilation: int,
        *,
        stride_on_1x1: bool = False,
    ) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        first, second = (stride, 1) if stride_on_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, second, padding=dilation, dilation=dilation, bias=False
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


class ResNetStages(nn.Module):
    """The stem and four stages of a ResNet; what comes out is for a subclass to choose.

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
    stride_on_1x1 : bool
        See `Bottleneck`.
    """

    def __init__(
        self,
        depths: Sequence[int],
        dilate: Sequence[bool],
        width: int = 64,
        *,
        stride_on_1x1: bool = False,
    ) -> None:
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
            blocks = [
                Bottleneck(
                    in_channels, channels, stride, first_dilation, stride_on_1x1=stride_on_1x1
                )
            ]
            in_channels = channels * EXPANSION
            blocks += [Bottleneck(in_channels, channels, 1, dilation) for _ in range(1, depth)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def stages(self, image: Tensor) -> list[Tensor]:
        """Give the features of the four stages, [B, 4 * width * 2**i, ...] for i = 0..3."""
        first = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(image)))))
        second = self.layer2(first)
        third = self.layer3(second)
        return [first, second, third, self.layer4(third)]


class ResNetTrunk(ResNetStages):
    """A ResNet without its pooling and classifier that gives its first and last features.

    Parameters
    ----------
    depths, dilate, width, stride_on_1x1
        See `ResNetStages`.
    """

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
        stages = self.stages(image)
        return stages[0], stages[3]


class ResNetPyramid(ResNetStages):
    """A ResNet that gives the features of all four stages, for a feature pyramid.

    Parameters
    ----------
    depths, dilate, width, stride_on_1x1
        See `ResNetStages`.
    """

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        """Map [B, 3, H, W] to features at strides 4, 8, 16 and 32 (undilated), rounded up."""
        return self.stages(image)
