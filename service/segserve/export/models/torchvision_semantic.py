"""DeepLabV3 and FCN on dilated ResNets, with the parameter names of torchvision's checkpoints.

Written from the papers (Chen et al., 2017; Long et al., 2015) and the description of torchvision's
``models/segmentation/{_utils,deeplabv3,fcn}.py`` (0.28.0). The networks end at their logits at
stride 8; torchvision then enlarges them bilinearly to the size of the network's input and takes the
argmax, which the server does in one pass over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from segserve.core.errors import InvalidInput
from segserve.export.models.deeplabv3plus import AtrousPyramid
from segserve.export.models.resnet import EXPANSION, ResNetPyramid

_RATES = (12, 24, 36)
_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class FcnHead(nn.Sequential):
    """3x3 to a quarter of the channels, then 1x1 to logits.

    Parameters
    ----------
    in_channels, num_classes : int
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        inner = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Conv2d(inner, num_classes, 1),
        )


class DeepLabV3Head(nn.Sequential):
    """Five views of the same features, a 3x3 convolution, then 1x1 to logits.

    Parameters
    ----------
    in_channels, channels, num_classes : int
        `channels` between.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__(
            AtrousPyramid(in_channels, channels, _RATES),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, num_classes, 1),
        )


class TorchvisionSemantic(nn.Module):
    """Trunk and head; the auxiliary head is there for its weights, and trains alone.

    Parameters
    ----------
    backbone : ResNetPyramid
        Dilated to stride 8.
    classifier : nn.Module
        On the last stage.
    aux_classifier : nn.Module
        On the stage before it.
    """

    def __init__(
        self, backbone: ResNetPyramid, classifier: nn.Module, aux_classifier: nn.Module
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Give logits at an eighth of the image's size, rounded up.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, RGB, scaled and normalised.

        Returns
        -------
        Tensor
            [B, num_classes, h, w] float32, un-normalised scores.
        """
        logits: Tensor = self.classifier(self.backbone(image)[-1])
        return logits


def _trunk(depth: int, width: int) -> ResNetPyramid:
    if depth not in _DEPTHS:
        raise InvalidInput(f"depth: got {depth}, expected one of {list(_DEPTHS)}")
    dilate: Sequence[bool] = (False, True, True)
    return ResNetPyramid(_DEPTHS[depth], dilate, width)


def deeplabv3(num_classes: int, depth: int = 50, width: int = 64) -> TorchvisionSemantic:
    """Build a DeepLabV3 with fresh weights, in training mode.

    Parameters
    ----------
    num_classes : int
        Channels of the logits, background included.
    depth : int
        Of the ResNet: 50 or 101.
    width : int
        Channels of its stem; 64 is the published network.

    Raises
    ------
    InvalidInput
        Another depth.
    """
    last = width * 8 * EXPANSION
    head = DeepLabV3Head(last, width * EXPANSION, num_classes)
    return TorchvisionSemantic(_trunk(depth, width), head, FcnHead(last // 2, num_classes))


def fcn(num_classes: int, depth: int = 50, width: int = 64) -> TorchvisionSemantic:
    """Build an FCN with fresh weights, in training mode; see `deeplabv3`.

    Raises
    ------
    InvalidInput
        Another depth.
    """
    last = width * 8 * EXPANSION
    head = FcnHead(last, num_classes)
    return TorchvisionSemantic(_trunk(depth, width), head, FcnHead(last // 2, num_classes))
