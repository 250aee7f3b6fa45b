"""What detectron2's detectors have in common: everything up to the boxes.

Written from the description of detectron2's ``modeling/{anchor_generator,poolers}.py``,
``modeling/proposal_generator/rpn.py`` and ``modeling/roi_heads/{box_head,fast_rcnn}.py``
(configs ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml`` and its kin).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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

_RATIOS = (0.5, 1.0, 2.0)
_FINEST_STRIDE_PX = 4
_BOX_CELLS, _MASK_CELLS = 7, 14
POOLED_LEVELS = LevelRule(levels=4, ratio_epsilon=1e-8)
"""Boxes are pooled from p2 to p5."""
_BOXES = BoxRule(
    levels=POOLED_LEVELS,
    pooling=Pooling(_BOX_CELLS, 0, aligned=True),
    detections=DetectionRule(),
    background_first=False,
)
_NOT_WEIGHTS = ("pixel_mean", "pixel_std")
_TRACKED = "num_batches_tracked"
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


@dataclass(frozen=True)
class RcnnRules:
    """What is no weight; the defaults are the published rules.

    Parameters
    ----------
    anchors_px : tuple of 5 float
        Square roots of the anchors' areas, one a level of the pyramid.
    proposals : ProposalRule
    boxes : BoxRule
    mask_pooling : Pooling
        Of detections, for a mask head of convolutions.
    """

    anchors_px: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    proposals: ProposalRule = ProposalRule()  # noqa: RUF009  frozen
    boxes: BoxRule = _BOXES
    mask_pooling: Pooling = Pooling(_MASK_CELLS, 0, aligned=True)  # noqa: RUF009  frozen


class JudgedAnchors(NamedTuple):
    """What the proposal head says of every anchor, level by level.

    Parameters
    ----------
    logits, deltas : list of Tensor
        [B, A, h, w] and [B, 4 * A, h, w].
    anchors : list of Tensor
        [h * w * A, 4].
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[Tensor]


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
    rules : RcnnRules
    """

    def __init__(self, channels: int, rules: RcnnRules | None = None) -> None:
        super().__init__()
        self.rules = rules or RcnnRules()
        self.rpn_head = _ProposalHead(channels)

    def judge(self, pyramid: list[Tensor]) -> JudgedAnchors:
        """Judge the anchors of every level of the pyramid, strides 4, 8, ..."""
        heads = [self.rpn_head(level) for level in pyramid]
        anchors = []
        for index, (level, size_px) in enumerate(zip(pyramid, self.rules.anchors_px, strict=True)):
            stride = _FINEST_STRIDE_PX << index
            cells = cell_anchors(size_px, _RATIOS).to(level.device)
            anchors.append(grid_anchors(cells, level.shape[2], level.shape[3], (stride, stride)))
        return JudgedAnchors([head[0] for head in heads], [head[1] for head in heads], anchors)

    def choose(self, judged: JudgedAnchors, image_size: Tensor) -> Proposals:
        """Give the best of them, moved."""
        return propose(*judged, image_size, self.rules.proposals)

    @override
    def forward(self, pyramid: list[Tensor], image_size: Tensor) -> Proposals:
        """Judge and choose."""
        return self.choose(self.judge(pyramid), image_size)


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
    rules : RcnnRules
    """

    def __init__(
        self,
        num_classes: int,
        widths: RcnnWidths,
        mask_head: nn.Module,
        rules: RcnnRules | None = None,
    ) -> None:
        super().__init__()
        self.rules = rules or RcnnRules()
        bottom_up = Detectron2ResNet(widths.depths, widths.stem)
        self.backbone = Detectron2Pyramid(bottom_up, bottom_up.channels, widths.pyramid)
        self.proposal_generator = ProposalGenerator(widths.pyramid, self.rules)
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
        found = box_stage(pyramid, proposals, image_size, self.roi_heads.boxes, self.rules.boxes)
        return pyramid, found

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take off what is no weight: pixel statistics, anchors, counts of trained norms."""
        return {
            key: value
            for key, value in state.items()
            if key not in _NOT_WEIGHTS
            and not key.startswith(_OLD_ANCHORS)
            and not key.endswith(_TRACKED)
        }
