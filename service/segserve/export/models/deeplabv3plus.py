"""DeepLabV3+ with the parameter names of VainF/DeepLabV3Plus-Pytorch's checkpoints.

Written from the paper (Chen et al., 2018) and the description of ``network/_deeplab.py`` and
``network/modeling.py`` (commit 4e1087de98bc49d55b9239ae92810ef7368660db). The network ends at its
logits at stride 4; the official program then enlarges them bilinearly (``align_corners=False``) to
the size of the image and takes the argmax, which the server does in one pass over the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.core.errors import InvalidInput
from segserve.export.models.mobilenetv2 import MobileNetV2Trunk
from segserve.export.models.resnet import ResNetTrunk

Backbone = Literal["resnet50", "resnet101", "mobilenet", "resnet_slim"]

_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}
_RESNETS = {
    "resnet50": ((3, 4, 6, 3), 64),
    "resnet101": ((3, 4, 23, 3), 64),
    "resnet_slim": ((2, 2, 3, 2), 12),
}
"""Blocks per stage, and channels of the stem."""


@dataclass(frozen=True)
class HeadWidths:
    """Channels of the head.

    Parameters
    ----------
    low_level : int
        After the 1x1 on the stride-4 features.
    aspp : int
        Of each of the five pyramid branches, and after their projection.
    decoder : int
        Of the 3x3 convolution before the classifier.
    """

    low_level: int = 48
    aspp: int = 256
    decoder: int = 256


_SLIM_HEAD = HeadWidths(low_level=16, aspp=48, decoder=64)


def _conv_norm_relu(
    in_channels: int, out_channels: int, kernel: int, dilation: int = 1
) -> list[nn.Module]:
    """Size-keeping convolution, batch norm, ReLU."""
    padding = dilation if kernel > 1 else 0
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class AtrousPyramid(nn.Module):
    """Five views of the same features: 1x1, three dilated 3x3, and the mean of the whole map.

    Parameters
    ----------
    in_channels, channels : int
        Channels in, and of each branch and the output.
    rates : tuple of 3 int
        Dilations of the 3x3 branches.
    """

    def __init__(self, in_channels: int, channels: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        branches = [nn.Sequential(*_conv_norm_relu(in_channels, channels, 1))]
        branches += [nn.Sequential(*_conv_norm_relu(in_channels, channels, 3, r)) for r in rates]
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_norm_relu(in_channels, channels, 1))
        self.convs = nn.ModuleList([*branches, pooled])
        joined = channels * len(self.convs)
        self.project = nn.Sequential(*_conv_norm_relu(joined, channels, 1), nn.Dropout(0.1))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, h, w] to [B, channels, h, w]."""
        views = [branch(x) for branch in self.convs]
        # The official program enlarges the 1x1 mean bilinearly, which repeats it.
        views[-1] = views[-1].expand(-1, -1, x.shape[2], x.shape[3])
        out: Tensor = self.project(torch.cat(views, dim=1))
        return out


class Head(nn.Module):
    """Pyramid, decoder and classifier.

    Parameters
    ----------
    low_channels, high_channels : int
        Channels of the trunk's two feature maps.
    num_classes : int
        Channels of the logits.
    widths : HeadWidths
        Channels between.
    rates : tuple of 3 int
        Dilations of the pyramid.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        num_classes: int,
        widths: HeadWidths,
        rates: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(*_conv_norm_relu(low_channels, widths.low_level, 1))
        self.aspp = AtrousPyramid(high_channels, widths.aspp, rates)
        self.classifier = nn.Sequential(
            *_conv_norm_relu(widths.low_level + widths.aspp, widths.decoder, 3),
            nn.Conv2d(widths.decoder, num_classes, 1),
        )

    @override
    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map the two feature maps to logits [B, num_classes, h, w] at the size of `low`."""
        near = self.project(low)
        far = functional.interpolate(
            self.aspp(high), size=near.shape[2:], mode="bilinear", align_corners=False
        )
        out: Tensor = self.classifier(torch.cat([near, far], dim=1))
        return out


class DeepLabV3Plus(nn.Module):
    """Trunk and head.

    Parameters
    ----------
    backbone : ResNetTrunk or MobileNetV2Trunk
        Gives features at stride 4 and at the output stride.
    classifier : Head
        Gives logits.
    """

    def __init__(self, backbone: ResNetTrunk | MobileNetV2Trunk, classifier: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Give logits at about a quarter of the image's size.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, RGB, scaled and normalised.

        Returns
        -------
        Tensor
            [B, num_classes, h, w] float32, un-normalised scores. ResNet: ``h = ceil(H / 4)``;
            MobileNetV2: see `MobileNetV2Trunk.forward`.
        """
        low, high = self.backbone(image)
        out: Tensor = self.classifier(low, high)
        return out


def _initialise(model: nn.Module) -> None:
    """Kaiming-normal convolutions; batch norms start as the identity."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def deeplabv3plus(backbone: Backbone, num_classes: int, output_stride: int = 16) -> DeepLabV3Plus:
    """Build a DeepLabV3+ with fresh weights, in training mode.

    Parameters
    ----------
    backbone : {"resnet50", "resnet101", "mobilenet", "resnet_slim"}
        ``resnet_slim`` is ours: a shallow ResNet of a fifth of the channels, with a slim head.
    num_classes : int
        Channels of the logits, background included.
    output_stride : int
        8 or 16: stride of the trunk's last features; 8 dilates one more stage.

    Raises
    ------
    InvalidInput
        Unknown backbone, no class, or another output stride.
    """
    if output_stride not in _RATES:
        raise InvalidInput(f"output_stride: got {output_stride}, expected 8 or 16")
    if num_classes < 1:
        raise InvalidInput(f"num_classes: got {num_classes}, expected at least 1")
    trunk: ResNetTrunk | MobileNetV2Trunk
    if backbone in _RESNETS:
        depths, width = _RESNETS[backbone]
        trunk = ResNetTrunk(depths, (False, output_stride == 8, True), width)  # noqa: PLR2004  the other stride
    elif backbone == "mobilenet":
        trunk = MobileNetV2Trunk(output_stride)
    else:
        raise InvalidInput(f"backbone: got {backbone!r}, expected one of {get_args(Backbone)}")
    widths = _SLIM_HEAD if backbone == "resnet_slim" else HeadWidths()
    head = Head(trunk.low_channels, trunk.high_channels, num_classes, widths, _RATES[output_stride])
    model = DeepLabV3Plus(trunk, head)
    _initialise(model)
    return model
