"""The trunks of YOLACT: ResNets and Darknet-53 with the names of its checkpoints.

Written from the description of dbolya/yolact's ``backbone.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from segserve.core.errors import InvalidInput
from segserve.export.models.resnet import EXPANSION, Bottleneck

_RESNETS = {
    "resnet50": ((3, 4, 6, 3), 64),
    "resnet101": ((3, 4, 23, 3), 64),
    "resnet_slim": ((2, 2, 3, 2), 12),
}
"""Blocks per stage, and channels of the stem; the slim one is ours."""

_DARKNET53 = (1, 2, 8, 8, 4)
_LEAK = 0.1


class YolactResNet(nn.Module):
    """A ResNet whose stages are ``layers.0`` to ``layers.3``.

    Parameters
    ----------
    depths : sequence of 4 int
    width : int
        Channels of the stem.
    """

    def __init__(self, depths: Sequence[int], width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        stages: list[nn.Module] = []
        in_channels = width
        for index, depth in enumerate(depths):
            channels = width * 2**index
            blocks = [Bottleneck(in_channels, channels, 1 if index == 0 else 2, 1)]
            in_channels = channels * EXPANSION
            blocks += [Bottleneck(in_channels, channels, 1, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layers = nn.ModuleList(stages)
        self.out_channels = tuple(width * EXPANSION * 2**i for i in (1, 2, 3))

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        """Map [B, 3, H, W] to C3, C4, C5."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        stages: list[Tensor] = []
        for layer in self.layers:
            x = layer(x)
            stages.append(x)
        return stages[1:]


def _unit(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(_LEAK, inplace=True),
    )


class DarknetBlock(nn.Module):
    """1x1 to half of the channels, 3x3 back, plus the shortcut.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _unit(channels, channels // 2, 1)
        self.conv2 = _unit(channels // 2, channels, 3)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to the same shape."""
        out: Tensor = self.conv2(self.conv1(x)) + x
        return out


class Darknet(nn.Module):
    """Darknet without its classifier.

    Parameters
    ----------
    depths : sequence of 5 int
        Blocks per stage.
    width : int
        Channels before the first stage.
    """

    def __init__(self, depths: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self._preconv = _unit(3, width, 3)
        stages: list[nn.Module] = []
        for index, depth in enumerate(depths):
            channels = width * 2 ** (index + 1)
            entry = _unit(channels // 2, channels, 3, 2)
            stages.append(nn.Sequential(entry, *(DarknetBlock(channels) for _ in range(depth))))
        self.layers = nn.ModuleList(stages)
        self.out_channels = tuple(width * 2**i for i in (3, 4, 5))

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        """Map [B, 3, H, W] to the features at strides 8, 16 and 32."""
        x = self._preconv(image)
        stages: list[Tensor] = []
        for layer in self.layers:
            x = layer(x)
            stages.append(x)
        return stages[2:]


def trunk(name: str) -> YolactResNet | Darknet:
    """Build a trunk.

    Raises
    ------
    InvalidInput
        When the name is not known.
    """
    if name in _RESNETS:
        return YolactResNet(*_RESNETS[name])
    if name == "darknet53":
        return Darknet(_DARKNET53)
    raise InvalidInput(f"trunk: got {name!r}, expected one of {(*_RESNETS, 'darknet53')}")
