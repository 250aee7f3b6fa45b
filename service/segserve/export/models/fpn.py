"""Feature pyramids (Lin et al., 2017) under the names of torchvision and of detectron2.

Sources of the names and of what the coarsest level is: torchvision
``ops/feature_pyramid_network.py``; detectron2 ``modeling/backbone/fpn.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

_FINEST_LEVEL = 2


def top_down(laterals: list[Tensor]) -> list[Tensor]:
    """Add to each level the enlarged sum of all coarser ones.

    Parameters
    ----------
    laterals : list of Tensor
        [B, C, h, w], finest first; each about half the size of the one before. Enlarging repeats
        pixels (nearest), to the exact size of the finer level.
    """
    merged = [laterals[-1]]
    for lateral in reversed(laterals[:-1]):
        size = lateral.shape[2:]
        merged.insert(0, lateral + functional.interpolate(merged[0], size=size, mode="nearest"))
    return merged


def half(level: Tensor) -> Tensor:
    """Give every second pixel: the level above the coarsest one, for proposals alone."""
    return functional.max_pool2d(level, 1, stride=2)


class TorchvisionPyramid(nn.Module):
    """Names ``inner_blocks.N.0`` and ``layer_blocks.N.0``.

    Parameters
    ----------
    in_channels : sequence of int
        Of the levels that come in, finest first.
    channels : int
        Of every level that goes out.
    with_norm : bool
        A batch norm behind every convolution, which then has no bias.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, *, with_norm: bool) -> None:
        super().__init__()

        def block(channels_in: int, kernel: int) -> nn.Sequential:
            convolution = nn.Conv2d(
                channels_in, channels, kernel, padding=kernel // 2, bias=not with_norm
            )
            norms = [nn.BatchNorm2d(channels)] if with_norm else []
            return nn.Sequential(convolution, *norms)

        self.inner_blocks = nn.ModuleList(block(c, 1) for c in in_channels)
        self.layer_blocks = nn.ModuleList(block(channels, 3) for _ in in_channels)

    @override
    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Give one level more than came in, finest first."""
        laterals = [block(x) for block, x in zip(self.inner_blocks, features, strict=True)]
        merged = top_down(laterals)
        levels = [block(x) for block, x in zip(self.layer_blocks, merged, strict=True)]
        return [*levels, half(levels[-1])]


class Detectron2Pyramid(nn.Module):
    """Names ``fpn_lateralN`` and ``fpn_outputN`` for N from 2, beside ``bottom_up``.

    Parameters
    ----------
    bottom_up : nn.Module
        Gives its stages as a list, finest first.
    in_channels : sequence of int
        Of those stages.
    channels : int
        Of every level that goes out.
    """

    def __init__(self, bottom_up: nn.Module, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.names = [str(_FINEST_LEVEL + i) for i in range(len(in_channels))]
        for name, channels_in in zip(self.names, in_channels, strict=True):
            self.add_module(f"fpn_lateral{name}", nn.Conv2d(channels_in, channels, 1))
            self.add_module(f"fpn_output{name}", nn.Conv2d(channels, channels, 3, padding=1))

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        """Give p2, p3, ... and one level more."""
        stages: list[Tensor] = self.bottom_up(image)
        laterals = [
            self.get_submodule(f"fpn_lateral{name}")(x)
            for name, x in zip(self.names, stages, strict=True)
        ]
        merged = top_down(laterals)
        levels: list[Tensor] = [
            self.get_submodule(f"fpn_output{name}")(x)
            for name, x in zip(self.names, merged, strict=True)
        ]
        return [*levels, half(levels[-1])]
