"""Mask R-CNN with the parameter names of torchvision's checkpoints.

Written from the paper (He et al., 2017) and the description of torchvision 0.28's
``models/detection/{mask_rcnn,faster_rcnn,generalized_rcnn,rpn,roi_heads,anchor_utils}.py`` and
``ops/poolers.py``. The network begins behind the normalised, resized and padded picture and ends at
28 x 28 masks relative to their boxes, which the server pastes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.boxes import cell_anchors, grid_anchors
from segserve.export.models.detections import DetectionRule, LevelRule
from segserve.export.models.fpn import TorchvisionPyramid
from segserve.export.models.frozen_norm import freeze_batch_norms, scale_and_shift, set_eps
from segserve.export.models.proposals import ProposalRule, Proposals, propose
from segserve.export.models.resnet import ResNetStages
from segserve.export.models.roi_align import Pooling
from segserve.export.models.two_stage import BoxRule, box_stage, mask_stage

_TRACKED = "num_batches_tracked"
_TRAINED_EPS = 1e-5
_SIZES_PX = (32.0, 64.0, 128.0, 256.0, 512.0)
_RATIOS = (0.5, 1.0, 2.0)
_POOLED_LEVELS = LevelRule(levels=4, level_epsilon=1e-6)
_PROPOSALS = ProposalRule(min_side_px=1e-3)
_BOX_CELLS, _MASK_CELLS = 7, 14
_BOXES = BoxRule(
    levels=_POOLED_LEVELS,
    pooling=Pooling(_BOX_CELLS, 2, aligned=False),
    detections=DetectionRule(min_side_px=1e-2),
    background_first=True,
)
_MASK_POOLING = Pooling(_MASK_CELLS, 2, aligned=False)


@dataclass(frozen=True)
class MaskRcnnWidths:
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
        Of the box head.
    """

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem: int = 64
    pyramid: int = 256
    fully_connected: int = 1024


class _Body(ResNetStages):
    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        return self.stages(image)


class _Backbone(nn.Module):
    def __init__(self, widths: MaskRcnnWidths, *, is_v2: bool) -> None:
        super().__init__()
        self.body = _Body(widths.depths, (False, False, False), widths.stem)
        stages = [widths.stem * 4 * 2**i for i in range(4)]
        self.fpn = TorchvisionPyramid(stages, widths.pyramid, with_norm=is_v2)

    @override
    def forward(self, image: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.fpn(self.body(image))
        return levels


class _RowNorm(nn.BatchNorm2d):
    """A batch norm of the rows that hold something, with the statistics of the checkpoint.

    Spelled out, since torch.export asks of ``batch_norm`` whether there are rows at all, which
    depends on the picture.
    """

    running_mean: Tensor
    running_var: Tensor

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Normalise [rows, channels, h, w]."""
        return scale_and_shift(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def _conv_stack(channels: int, count: int, *, with_norm: bool = False) -> list[nn.Module]:
    """Give `count` blocks of a size-keeping 3x3, a batch norm if asked for, and ReLU."""
    blocks: list[nn.Module] = []
    for _ in range(count):
        convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=not with_norm)
        norms = [_RowNorm(channels)] if with_norm else []
        blocks.append(nn.Sequential(convolution, *norms, nn.ReLU(inplace=True)))
    return blocks


class _ProposalHead(nn.Module):
    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_conv_stack(channels, convolutions))
        self.cls_logits = nn.Conv2d(channels, len(_RATIOS), 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * len(_RATIOS), 1)

    @override
    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(level)
        return self.cls_logits(x), self.bbox_pred(x)


class _ProposalNetwork(nn.Module):
    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        self.head = _ProposalHead(channels, convolutions)

    @override
    def forward(self, image: Tensor, pyramid: list[Tensor], image_size: Tensor) -> Proposals:
        heads = [self.head(level) for level in pyramid]
        anchors = [
            _anchors(image, level, size_px)
            for level, size_px in zip(pyramid, _SIZES_PX, strict=True)
        ]
        logits, deltas = [head[0] for head in heads], [head[1] for head in heads]
        return propose(logits, deltas, anchors, image_size, _PROPOSALS)


def _anchors(image: Tensor, level: Tensor, size_px: float) -> Tensor:
    """Give anchors with corners on whole pixels, as far apart as the padded input says."""
    height, width = level.shape[2:]
    stride = (image.shape[2] // height, image.shape[3] // width)
    cells = cell_anchors(size_px, _RATIOS).round().to(level.device)
    return grid_anchors(cells, height, width, stride)


class _BoxHead(nn.Module):
    def __init__(self, widths: MaskRcnnWidths) -> None:
        super().__init__()
        self.fc6 = nn.Linear(widths.pyramid * _BOX_CELLS**2, widths.fully_connected)
        self.fc7 = nn.Linear(widths.fully_connected, widths.fully_connected)

    @override
    def forward(self, pooled: Tensor) -> Tensor:
        return functional.relu(self.fc7(functional.relu(self.fc6(pooled.flatten(1)))))


def _box_head_v2(widths: MaskRcnnWidths) -> nn.Sequential:
    return nn.Sequential(
        *_conv_stack(widths.pyramid, 4, with_norm=True),
        nn.Flatten(),
        nn.Linear(widths.pyramid * _BOX_CELLS**2, widths.fully_connected),
        nn.ReLU(inplace=True),
    )


class _BoxPredictor(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(channels, num_classes)
        self.bbox_pred = nn.Linear(channels, 4 * num_classes)

    @override
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x), self.bbox_pred(x)


class _MaskPredictor(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.mask_fcn_logits = nn.Conv2d(channels, num_classes, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.mask_fcn_logits(functional.relu(self.conv5_mask(x)))
        return logits


class _Heads(nn.Module):
    def __init__(self, widths: MaskRcnnWidths, num_classes: int, *, is_v2: bool) -> None:
        super().__init__()
        self.box_head = _box_head_v2(widths) if is_v2 else _BoxHead(widths)
        self.box_predictor = _BoxPredictor(widths.fully_connected, num_classes)
        self.mask_head = nn.Sequential(*_conv_stack(widths.pyramid, 4, with_norm=is_v2))
        self.mask_predictor = _MaskPredictor(widths.pyramid, num_classes)

    def boxes(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Give class logits and offsets of pooled proposals."""
        logits, offsets = self.box_predictor(self.box_head(pooled))
        return logits, offsets

    def masks(self, pooled: Tensor) -> Tensor:
        """Give mask logits of pooled detections."""
        logits: Tensor = self.mask_predictor(self.mask_head(pooled))
        return logits


class TorchvisionMaskRcnn(nn.Module):
    """Both stages.

    Parameters
    ----------
    num_classes : int
        With the background, which is class 0.
    widths : MaskRcnnWidths
    is_v2 : bool
        Batch norms in pyramid and heads, a second convolution before proposals, a convolutional
        box head (``maskrcnn_resnet50_fpn_v2``); false: frozen batch norms of eps 0 in the body.
    """

    def __init__(
        self, num_classes: int, widths: MaskRcnnWidths | None = None, *, is_v2: bool = False
    ) -> None:
        super().__init__()
        widths = widths or MaskRcnnWidths()
        self.is_v2 = is_v2
        self.backbone = _Backbone(widths, is_v2=is_v2)
        self.rpn = _ProposalNetwork(widths.pyramid, 2 if is_v2 else 1)
        self.roi_heads = _Heads(widths, num_classes, is_v2=is_v2)
        if not is_v2:
            freeze_batch_norms(self.backbone.body, eps=0.0)

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take off what a checkpoint of ordinary batch norms has more.

        torchvision's factory builds frozen norms of eps 0 for its published weights and ordinary
        ones of eps 1e-5 for everybody else's, whose checkpoints count batches.
        """
        if self.is_v2:
            return dict(state)
        kept = {key: value for key, value in state.items() if not key.endswith(_TRACKED)}
        set_eps(self.backbone, 0.0 if len(kept) == len(state) else _TRAINED_EPS)
        return kept

    @override
    def forward(
        self, image: Tensor, image_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Detect.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, RGB, scaled, normalised, resized, zeros to the right and below.
        image_size : Tensor
            [B, 2] float32: height and width of the picture in it.

        Returns
        -------
        boxes, scores, labels, valid, masks : Tensor
            [B, K, 4] in network pixels, [B, K], [B, K] int64, [B] int64, [B, K, 28, 28]
            probabilities; rows past `valid` are zero with label -1.
        """
        pyramid = self.backbone(image)
        proposals = self.rpn(image, pyramid, image_size)
        found = box_stage(pyramid, proposals, image_size, self.roi_heads.boxes, _BOXES)
        masks = mask_stage(pyramid, found, self.roi_heads.masks, _POOLED_LEVELS, _MASK_POOLING)
        return *found.columns, masks


def mask_rcnn_v2(num_classes: int, widths: MaskRcnnWidths | None = None) -> TorchvisionMaskRcnn:
    """Build what torchvision calls ``maskrcnn_resnet50_fpn_v2``."""
    return TorchvisionMaskRcnn(num_classes, widths, is_v2=True)
