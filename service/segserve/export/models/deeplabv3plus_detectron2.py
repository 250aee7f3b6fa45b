"""DeepLabV3+ with the parameter names of detectron2's checkpoints.

Written from the description of detectron2's ``projects/DeepLab/deeplab/semantic_seg.py`` and
``layers/aspp.py``. Beside other names than VainF's it has another trunk, a pooled branch that sees
a window in place of the whole map, and two convolutions behind the concatenation. The logits leave
at stride 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.detectron2_deeplab_resnet import ActiveConvolution, DeepLabResNet
from segserve.export.models.resnet import EXPANSION

_RATES = (6, 12, 18)
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


class FineLevel(nn.Module):
    """What the decoder does at stride 4.

    Parameters
    ----------
    channels_in, channels : int
        Of the features, and of the decoder.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.project_conv = ActiveConvolution(channels_in, _LOW_LEVEL, 1)
        self.fuse_conv = nn.Sequential(
            ActiveConvolution(_LOW_LEVEL + channels, channels, 3),
            ActiveConvolution(channels, channels, 3),
        )

    @override
    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Join the coarser level's [B, channels, ...] to what is seen here."""
        near = self.project_conv(features)
        far = functional.interpolate(
            coarse, size=near.shape[2:], mode="bilinear", align_corners=False
        )
        joined: Tensor = self.fuse_conv(torch.cat([near, far], dim=1))
        return joined


class CoarseLevel(nn.Module):
    """What the decoder does at stride 16: the pyramid.

    Parameters
    ----------
    channels_in : int
    widths : DeepLabWidths
    """

    def __init__(self, channels_in: int, widths: DeepLabWidths) -> None:
        super().__init__()
        self.project_conv = WindowedPyramid(channels_in, widths.decoder, widths.window)

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Map [B, channels_in, h, w] to [B, decoder, h, w]."""
        views: Tensor = self.project_conv(features)
        return views


class DeepLabDecoder(nn.Module):
    """The two levels by their names.

    Parameters
    ----------
    low_channels, high_channels : int
        Of the two feature maps.
    widths : DeepLabWidths
    """

    def __init__(self, low_channels: int, high_channels: int, widths: DeepLabWidths) -> None:
        super().__init__()
        self.res2 = FineLevel(low_channels, widths.decoder)
        self.res5 = CoarseLevel(high_channels, widths)

    @override
    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map the two feature maps to [B, decoder, h, w] at the size of `low`."""
        decoded: Tensor = self.res2(low, self.res5(high))
        return decoded


class Detectron2DeepLabHead(nn.Module):
    """Decoder and classifier.

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
        self.decoder = DeepLabDecoder(low_channels, high_channels, widths)
        self.predictor = nn.Conv2d(widths.decoder, num_classes, 1)

    @override
    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map the two feature maps to logits [B, num_classes, h, w] at the size of `low`."""
        logits: Tensor = self.predictor(self.decoder(low, high))
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
        low, high = self.backbone(image)
        logits: Tensor = self.sem_seg_head(low, high)
        return logits
