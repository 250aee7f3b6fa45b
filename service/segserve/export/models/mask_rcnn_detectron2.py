"""Mask R-CNN with the parameter names of detectron2's checkpoints.

Written from the paper (He et al., 2017) and the description of detectron2's
``modeling/roi_heads/mask_head.py`` (``MaskRCNNConvUpsampleHead``).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.detections import Detections
from segserve.export.models.detectron2_rcnn import (
    POOLED_LEVELS,
    Detectron2Rcnn,
    RcnnRules,
    RcnnWidths,
)
from segserve.export.models.two_stage import mask_stage

_CONVOLUTIONS = 4


class ConvUpsampleMaskHead(nn.Module):
    """Four 3x3 convolutions, a transposed one, and a channel per class.

    Parameters
    ----------
    channels : int
        Of the pyramid.
    num_classes : int
        Without the background.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        for index in range(1, _CONVOLUTIONS + 1):
            self.add_module(f"mask_fcn{index}", nn.Conv2d(channels, channels, 3, padding=1))
        self.deconv = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.predictor = nn.Conv2d(channels, num_classes, 1)

    @override
    def forward(self, pooled: Tensor) -> Tensor:
        """Map [R, channels, 14, 14] to logits [R, num_classes, 28, 28]."""
        for index in range(1, _CONVOLUTIONS + 1):
            pooled = functional.relu(self.get_submodule(f"mask_fcn{index}")(pooled))
        logits: Tensor = self.predictor(functional.relu(self.deconv(pooled)))
        return logits


class Detectron2MaskRcnn(Detectron2Rcnn):
    """Both stages.

    Parameters
    ----------
    num_classes : int
        Without the background.
    widths : RcnnWidths
    rules : RcnnRules
    """

    def __init__(
        self, num_classes: int, widths: RcnnWidths | None = None, rules: RcnnRules | None = None
    ) -> None:
        widths = widths or RcnnWidths()
        head = ConvUpsampleMaskHead(widths.pyramid, num_classes)
        super().__init__(num_classes, widths, head, rules)

    def masks(self, pyramid: list[Tensor], found: Detections) -> Tensor:
        """Give the detections' masks, [B, K, 28, 28] probabilities."""
        head, pooling = self.roi_heads.mask_head, self.rules.mask_pooling
        return mask_stage(pyramid, found, head, POOLED_LEVELS, pooling)

    @override
    def forward(self, image: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Parameters
        ----------
        image, image_size : Tensor
            See `Detectron2Rcnn.detect`.

        Returns
        -------
        boxes, scores, labels, valid, masks : Tensor
            [B, K, 4] in network pixels, [B, K], [B, K] int64, [B] int64, [B, K, 28, 28]
            probabilities; rows past `valid` are zero with label -1.
        """
        pyramid, found = self.detect(image, image_size)
        masks = self.masks(pyramid, found)
        return *found.columns, masks
