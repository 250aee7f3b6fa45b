"""What detectron2's detectors have in common: everything up to the boxes.

Written from the description of detectron2's ``modeling/{anchor_generator,poolers}.py``,
``modeling/proposal_generator/rpn.py`` and ``modeling/roi_heads/{box_head,fast_rcnn}.py``
(configs ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml`` and its kin).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.boxes import cell_anchors, grid_anchors
from segserve.export.models.detections import DetectionRule, Detections, LevelRule
from segserve.export.models.detectron2_resnet import Detectron2ResNet
from segserve.export.models.fpn import Detectron2Pyramid
from segserve.export.models.proposals import ProposalRule, Proposals, propose
from segserve.export.models.roi_align import Pooling
from segserve.export.models.two_stage import BoxRule, box_stage

_SIZES_PX = (32.0, 64.0, 128.0, 256.0, 512.0)
_RATIOS = (0.5, 1.0, 2.0)
_FINEST_STRIDE_PX = 4
_BOX_CELLS = 7
POOLED_LEVELS = LevelRule(levels=4, ratio_epsilon=1e-8)
"""Boxes are pooled from p2 to p5."""
_BOXES = BoxRule(
    levels=POOLED_LEVELS,
    pooling=Pooling(_BOX_CELLS, 0, aligned=True),
    detections=DetectionRule(),
    background_first=False,
)
_NOT_WEIGHTS = ("pixel_mean", "pixel_std")
_OLD_ANCHORS = "proposal_generator.anchor_generator.cell_anchors."


@dataclass(frozen=True)
class RcnnWidths:
    """Sizes of the network; the defaults are the published ones.

    Parameters
    ----------
    depths : tuple of 4 int
        Bottlenecks per stage.
    stem : int
        Channels of the stem; the stages have 4, 8, 16 and 32 times as many.
    pyramid : int
        Channels of the pyramid and of the heads' convolutions.
    fully_connected : int
        Of the heads' hidden layers.
    """

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem: int = 64
    pyramid: int = 256
    fully_connected: int = 1024


class _ProposalHead(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, len(_RATIOS), 1)
        self.anchor_deltas = nn.Conv2d(channels, 4 * len(_RATIOS), 1)

    @override
    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(self.conv(level))
        return self.objectness_logits(x), self.anchor_deltas(x)


class ProposalGenerator(nn.Module):
    """The region proposal network.

    Parameters
    ----------
    channels : int
        Of the pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rpn_head = _ProposalHead(channels)

    @override
    def forward(self, pyramid: list[Tensor], image_size: Tensor) -> Proposals:
        """Propose on every level of the pyramid, strides 4, 8, ..."""
        heads = [self.rpn_head(level) for level in pyramid]
        anchors = []
        for index, (level, size_px) in enumerate(zip(pyramid, _SIZES_PX, strict=True)):
            stride = _FINEST_STRIDE_PX << index
            cells = cell_anchors(size_px, _RATIOS).to(level.device)
            anchors.append(grid_anchors(cells, level.shape[2], level.shape[3], (stride, stride)))
        logits, deltas = [head[0] for head in heads], [head[1] for head in heads]
        return propose(logits, deltas, anchors, image_size, ProposalRule())


class _BoxHead(nn.Module):
    def __init__(self, widths: RcnnWidths) -> None:
        super().__init__()
        self.fc1 = nn.Linear(widths.pyramid * _BOX_CELLS**2, widths.fully_connected)
        self.fc2 = nn.Linear(widths.fully_connected, widths.fully_connected)

    @override
    def forward(self, pooled: Tensor) -> Tensor:
        return functional.relu(self.fc2(functional.relu(self.fc1(pooled.flatten(1)))))


class _BoxPredictor(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes + 1)
        self.bbox_pred = nn.Linear(channels, 4 * num_classes)

    @override
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x), self.bbox_pred(x)


class RoiHeads(nn.Module):
    """The box head and predictor, beside a mask head.

    Parameters
    ----------
    num_classes : int
        Without the background.
    widths : RcnnWidths
    mask_head : nn.Module
    """

    def __init__(self, num_classes: int, widths: RcnnWidths, mask_head: nn.Module) -> None:
        super().__init__()
        self.box_head = _BoxHead(widths)
        self.box_predictor = _BoxPredictor(widths.fully_connected, num_classes)
        self.mask_head = mask_head

    def boxes(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Give class logits and offsets of pooled proposals."""
        logits, offsets = self.box_predictor(self.box_head(pooled))
        return logits, offsets


class Detectron2Rcnn(nn.Module):
    """Backbone, proposals and boxes; subclasses add masks in `forward`.

    Parameters
    ----------
    num_classes : int
        Without the background.
    widths : RcnnWidths
    mask_head : nn.Module
        Called ``roi_heads.mask_head``.
    """

    def __init__(self, num_classes: int, widths: RcnnWidths, mask_head: nn.Module) -> None:
        super().__init__()
        bottom_up = Detectron2ResNet(widths.depths, widths.stem)
        self.backbone = Detectron2Pyramid(bottom_up, bottom_up.channels, widths.pyramid)
        self.proposal_generator = ProposalGenerator(widths.pyramid)
        self.roi_heads = RoiHeads(num_classes, widths, mask_head)

    def detect(self, image: Tensor, image_size: Tensor) -> tuple[list[Tensor], Detections]:
        """Give the pyramid p2..p6 and the detections.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, BGR, normalised, resized, zeros to the right and below.
        image_size : Tensor
            [B, 2] float32: height and width of the picture in it.
        """
        pyramid: list[Tensor] = self.backbone(image)
        proposals = self.proposal_generator(pyramid, image_size)
        found = box_stage(pyramid, proposals, image_size, self.roi_heads.boxes, _BOXES)
        return pyramid, found

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take off what older checkpoints hold beside weights: pixel statistics and anchors."""
        return {
            key: value
            for key, value in state.items()
            if key not in _NOT_WEIGHTS and not key.startswith(_OLD_ANCHORS)
        }
