"""MobileNetV2 trunk as the DeepLabV3+ of VainF/DeepLabV3Plus-Pytorch uses it.

Written from the description of ``network/backbone/mobilenetv2.py`` and ``network/modeling.py``
(commit 4e1087de98bc49d55b9239ae92810ef7368660db). It differs from torchvision's in its padding: no
convolution pads; each block pads its *input*, before the 1x1 expansion, so that the padded zeros
go through expansion, batch norm and ReLU6 too; the stem does not pad at all.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

# expansion, channels, blocks, stride of the first block
_SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM_CHANNELS = 32
_LOW_LEVEL_FEATURES = 4


def _conv_norm_relu6(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Un-padded convolution, batch norm, ReLU6; depthwise unless the kernel is 1x1 or the stem."""
    groups = in_channels if in_channels == out_channels and kernel > 1 else 1
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection, on an input padded by `dilation`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in and out; the shortcut is there when they are equal and `stride` is 1.
    expansion : int
        Factor of the 1x1 expansion; 1 leaves it out.
    stride, dilation : int
        Of the depthwise convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, expansion: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        expand = [_conv_norm_relu6(in_channels, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_norm_relu6(hidden, hidden, 3, stride=stride, dilation=dilation),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.padding_px = dilation
        self.has_shortcut = stride == 1 and in_channels == out_channels

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, ceil(H / stride), ceil(W / stride)]."""
        y: Tensor = self.conv(functional.pad(x, (self.padding_px,) * 4))
        return x + y if self.has_shortcut else y


class MobileNetV2Trunk(nn.Module):
    """MobileNetV2 without its last 1x1 convolution, pooling and classifier.

    Parameters
    ----------
    output_stride : int
        8 or 16; blocks that would go beyond it dilate instead.
    """

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        channels = _STEM_CHANNELS
        features: list[nn.Module] = [_conv_norm_relu6(3, channels, 3, stride=2)]
        reached, dilation = 2, 1
        for expansion, out_channels, blocks, setting_stride in _SETTING:
            first_dilation = dilation
            stride = setting_stride
            if reached == output_stride:
                stride, dilation = 1, dilation * setting_stride
            else:
                reached *= stride
            for index in range(blocks):
                block = InvertedResidual(
                    channels,
                    out_channels,
                    expansion=expansion,
                    stride=stride if index == 0 else 1,
                    dilation=first_dilation if index == 0 else dilation,
                )
                features.append(block)
                channels = out_channels
        named = [(str(index), feature) for index, feature in enumerate(features)]
        self.low_level_features = nn.Sequential(OrderedDict(named[:_LOW_LEVEL_FEATURES]))
        self.high_level_features = nn.Sequential(OrderedDict(named[_LOW_LEVEL_FEATURES:]))
        self.low_channels = _SETTING[1][1]
        self.high_channels = channels

    @override
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features at stride 4 and at the output stride.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, normalised, at least 3x3 pixels.

        Returns
        -------
        tuple of Tensor
            [B, low_channels, h, w] and [B, high_channels, h', w']. With the un-padded stem
            ``h = ceil(((H - 3) // 2 + 1) / 2)``: one row less than H/4 for some sizes.
        """
        low = self.low_level_features(image)
        return low, self.high_level_features(low)
