"""Panoptic FPN with the parameter names of detectron2's checkpoints.

Written from the paper (Kirillov et al., 2019) and the description of detectron2's
``modeling/meta_arch/{panoptic_fpn,semantic_seg}.py``. The semantic logits leave at stride 4; the
server enlarges them, takes the argmax, and merges stuff with things.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.detectron2_rcnn import RcnnWidths
from segserve.export.models.mask_rcnn_detectron2 import Detectron2MaskRcnn

_LEVELS = 4
_FINEST_LEVEL = 2
_GROUPS = 32


class _NormedConvolution(nn.Conv2d):
    """A 3x3 convolution that holds its group norm, and ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, channels)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(super().forward(x)))


class SemanticHead(nn.Module):
    """Classes of every position at stride 4, from all levels of a pyramid.

    Parameters
    ----------
    channels_in : int
        Of the pyramid.
    channels : int
        Inside; a multiple of 32.
    num_classes : int
    """

    def __init__(self, channels_in: int, channels: int, num_classes: int) -> None:
        super().__init__()
        for level in range(_LEVELS):
            blocks: list[nn.Module] = []
            for index in range(max(level, 1)):
                blocks.append(_NormedConvolution(channels_in if index == 0 else channels, channels))
                if level > 0:
                    blocks.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.add_module(f"p{level + _FINEST_LEVEL}", nn.Sequential(*blocks))
        self.predictor = nn.Conv2d(channels, num_classes, 1)

    @override
    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Map p2, p3, p4, p5 to logits [B, num_classes, h, w] of p2's size.

        Sides of the picture are multiples of 32, so that enlarged levels fit each other.
        """
        total = self.get_submodule("p2")(pyramid[0])
        for level in range(1, _LEVELS):
            enlarged = self.get_submodule(f"p{level + _FINEST_LEVEL}")(pyramid[level])
            total = total + enlarged
        logits: Tensor = self.predictor(total)
        return logits


@dataclass(frozen=True)
class SemanticWidths:
    """Sizes of the semantic head.

    Parameters
    ----------
    num_classes : int
        Stuff, and class 0 for everything that is a thing.
    channels : int
    """

    num_classes: int = 54
    channels: int = 128


class PanopticFpn(Detectron2MaskRcnn):
    """Mask R-CNN and a semantic head on one pyramid.

    Parameters
    ----------
    num_classes : int
        Of things.
    widths : RcnnWidths
    semantic : SemanticWidths
    """

    def __init__(
        self,
        num_classes: int,
        widths: RcnnWidths | None = None,
        semantic: SemanticWidths | None = None,
    ) -> None:
        widths, semantic = widths or RcnnWidths(), semantic or SemanticWidths()
        super().__init__(num_classes, widths)
        self.sem_seg_head = SemanticHead(widths.pyramid, semantic.channels, semantic.num_classes)

    @override
    def forward(self, image: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        """Detect, and label every position.

        Parameters
        ----------
        image, image_size : Tensor
            See `Detectron2Rcnn.detect`; sides are multiples of 32.

        Returns
        -------
        boxes, scores, labels, valid, masks, sem_logits : Tensor
            See `Detectron2MaskRcnn.forward`; [B, stuff, H / 4, W / 4].
        """
        pyramid, found = self.detect(image, image_size)
        masks = self.masks(pyramid, found)
        logits = self.sem_seg_head(pyramid)
        return *found.columns, masks, logits
