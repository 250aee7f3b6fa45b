"""ResNets under detectron2's names (``stem.conv1.norm``, ``res2.0.conv1.norm``, ``shortcut``).

Written from the description of detectron2's ``modeling/backbone/resnet.py``: the MSRA networks,
whose stride sits on the first 1x1 convolution, with frozen batch norms of eps 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.frozen_norm import FrozenBatchNorm2d
from segserve.export.models.resnet import EXPANSION

_EPS = 1e-5


class _Convolution(nn.Conv2d):
    """A convolution that holds its norm."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels_in, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = FrozenBatchNorm2d(channels, _EPS)

    @override
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(super().forward(x))
        return y


class _Bottleneck(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut: nn.Module | None = None
        if channels_in != channels * EXPANSION:
            self.shortcut = _Convolution(channels_in, channels * EXPANSION, 1, stride)
        self.conv1 = _Convolution(channels_in, channels, 1, stride)
        self.conv2 = _Convolution(channels, channels, 3, 1)
        self.conv3 = _Convolution(channels, channels * EXPANSION, 1, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.conv1(x))
        y = self.conv3(functional.relu(self.conv2(y)))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class _Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(3, width, 7, 2)

    @override
    def forward(self, image: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu(self.conv1(image)), 3, 2, padding=1)


class Detectron2ResNet(nn.Module):
    """The stem and the stages ``res2`` to ``res5``.

    Parameters
    ----------
    depths : sequence of 4 int
        Blocks per stage.
    width : int
        Channels of the stem; the stages have 4, 8, 16 and 32 times as many.
    """

    def __init__(self, depths: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.stem = _Stem(width)
        stages: list[nn.Sequential] = []
        channels_in = width
        for index, depth in enumerate(depths):
            channels = width * 2**index
            blocks = [_Bottleneck(channels_in, channels, 1 if index == 0 else 2)]
            channels_in = channels * EXPANSION
            blocks += [_Bottleneck(channels_in, channels, 1) for _ in range(1, depth)]
            stages.append(nn.Sequential(*blocks))
        self.res2, self.res3, self.res4, self.res5 = stages
        self.channels = [width * EXPANSION * 2**i for i in range(len(depths))]

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the four stages' features, at strides 4 to 32."""
        second = self.res2(self.stem(image))
        third = self.res3(second)
        fourth = self.res4(third)
        return [second, third, fourth, self.res5(fourth)]
