"""YOLACT with the parameter names of dbolya/yolact's checkpoints.

Written from the paper (Bolya et al., 2019) and the description of ``yolact.py``,
``utils/functions.py`` (``make_net``) and ``data/config.py`` (commit
902073d414728280b496c5f0a59a8e8285b3c13c).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.yolact_detection import FastNms, FastNmsRule
from segserve.export.models.yolact_trunks import trunk

_ASPECT_RATIOS = (1.0, 0.5, 2.0)
_BASE_SCALES_PX = (24, 48, 96, 192, 384)
_BASE_SIZE_PX = 550
_LEVELS = 3
_EXTRA_LEVELS = 2


@dataclass(frozen=True)
class YolactShape:
    """Sizes of a network; by default YOLACT-550 with ResNet-50.

    Parameters
    ----------
    trunk : {"resnet50", "resnet101", "darknet53", "resnet_slim"}
    size_px : int
        Side of the square that pictures are stretched to.
    classes : int
        Background not counted.
    channels : int
        Of the feature pyramid and the heads.
    prototypes : int
    rectified : bool
        A ReLU behind the prototypes, as in all official networks; the paper (section 3.1) allows
        none.
    rule : FastNmsRule
    """

    trunk: str = "resnet50"
    size_px: int = _BASE_SIZE_PX
    classes: int = 80
    channels: int = 256
    prototypes: int = 32
    rectified: bool = True
    rule: FastNmsRule = field(default_factory=FastNmsRule)

    @property
    def scales_px(self) -> tuple[int, ...]:
        """Anchor sizes of each level, those of 550 in proportion, rounded down."""
        return tuple(int(scale / _BASE_SIZE_PX * self.size_px) for scale in _BASE_SCALES_PX)

    @property
    def level_sides(self) -> tuple[int, ...]:
        """Sides of the pyramid's levels: strides 8, 16, 32, then halved twice, rounded up."""
        sides = [self.size_px]
        for _ in range(_LEVELS + 2 + _EXTRA_LEVELS):
            sides.append(-(-sides[-1] // 2))
        return tuple(sides[3:])


def priors(shape: YolactShape) -> Tensor:
    """Give the anchors, relative to the picture: float32 [N, 4] of centre x, centre y, w, h.

    Row by row, column by column, the three ratios. Heights are equal to widths, by an old error of
    the original that the weights have learnt.
    """
    rows = []
    for side, scale in zip(shape.level_sides, shape.scales_px, strict=True):
        for y in range(side):
            for x in range(side):
                for ratio in _ASPECT_RATIOS:
                    width = scale * math.sqrt(ratio) / shape.size_px
                    rows.append(((x + 0.5) / side, (y + 0.5) / side, width, width))
    return torch.tensor(rows, dtype=torch.float32)


class Pyramid(nn.Module):
    """Levels C3 to C5 joined from the top down, and two more; lists run from coarse to fine.

    Parameters
    ----------
    in_channels : tuple of int
        Of C3, C4, C5.
    channels : int
        Of every level.
    """

    def __init__(self, in_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lat_layers = nn.ModuleList([nn.Conv2d(c, channels, 1) for c in in_channels[::-1]])
        self.pred_layers = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels]
        )
        self.downsample_layers = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, 2, padding=1) for _ in range(_EXTRA_LEVELS)]
        )

    @override
    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Map C3, C4, C5 to the levels, finest first."""
        joined: list[Tensor] = []
        for i, lateral in enumerate(self.lat_layers):
            x = lateral(stages[len(stages) - 1 - i])
            if i > 0:
                size = [x.shape[2], x.shape[3]]
                above = joined[-1]
                x = x + functional.interpolate(
                    above, size=size, mode="bilinear", align_corners=False
                )
            joined.append(x)
        levels: list[Tensor] = []
        for i, predict in enumerate(self.pred_layers):
            levels.append(functional.relu(predict(joined[i])))
        levels.reverse()
        for downsample in self.downsample_layers:
            levels.append(downsample(levels[-1]))
        return levels


class Head(nn.Module):
    """What every place of every level says about its three anchors; shared by all levels.

    Parameters
    ----------
    shape : YolactShape
    """

    def __init__(self, shape: YolactShape) -> None:
        super().__init__()
        anchors, width = len(_ASPECT_RATIOS), shape.channels
        self.classes, self.prototypes = shape.classes + 1, shape.prototypes
        self.upfeature = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.bbox_layer = nn.Conv2d(width, anchors * 4, 3, padding=1)
        self.conf_layer = nn.Conv2d(width, anchors * self.classes, 3, padding=1)
        self.mask_layer = nn.Conv2d(width, anchors * self.prototypes, 3, padding=1)

    @override
    def forward(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give offsets [B, n, 4], class logits [B, n, 1 + classes], coefficients [B, n, D]."""
        x = self.upfeature(level)
        return (
            self.by_anchor(self.bbox_layer(x), 4),
            self.by_anchor(self.conf_layer(x), self.classes),
            self.by_anchor(self.mask_layer(x), self.prototypes).tanh(),
        )

    def by_anchor(self, x: Tensor, values: int) -> Tensor:
        """Bring [B, anchors * values, h, w] to [B, h * w * anchors, values]."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)


class Upsample(nn.Module):
    """Doubles height and width, bilinearly."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, h, w] to [B, C, 2h, 2w]."""
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _prototype_net(shape: YolactShape) -> nn.Sequential:
    """Three 3x3 convolutions, twice the size, one more, 1x1; a ReLU behind each."""
    width = shape.channels
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    layers += [Upsample(), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(width, shape.prototypes, 1))
    return nn.Sequential(*layers, *([nn.ReLU()] if shape.rectified else []))


class Yolact(nn.Module):
    """Trunk, pyramid, prototypes, heads and fast NMS.

    Parameters
    ----------
    shape : YolactShape
    """

    def __init__(self, shape: YolactShape) -> None:
        super().__init__()
        self.backbone = trunk(shape.trunk)
        self.proto_net = _prototype_net(shape)
        self.fpn = Pyramid(self.backbone.out_channels, shape.channels)
        self.prediction_layers = nn.ModuleList([Head(shape)])
        # Of training alone; in every official checkpoint.
        self.semantic_seg_conv = nn.Conv2d(shape.channels, shape.classes, 1)
        self.priors = nn.Buffer(priors(shape), persistent=False)
        self.detect = FastNms(shape.rule)

    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Drop what old files hold twice or too much: ``backbone.layerN.*``, surplus levels."""
        known = self.state_dict()
        surplus = ("backbone.layer1.", "backbone.layer2.", "backbone.layer3.", "backbone.layer4.")
        return {
            key: value
            for key, value in state.items()
            if key in known or not key.startswith((*surplus, "fpn.downsample_layers."))
        }

    def raw(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give what is learnt: offsets, class logits, coefficients, prototypes.

        Returns
        -------
        tuple of Tensor
            [B, N, 4], [B, N, 1 + classes], [B, N, D] and [B, h, w, D], N the number of priors.
        """
        return self.predictions(self.fpn(self.backbone(image)))

    def predictions(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give what `raw` gives, of the pyramid's levels, finest first."""
        offsets: list[Tensor] = []
        logits: list[Tensor] = []
        coefficients: list[Tensor] = []
        for head in self.prediction_layers:
            for level in levels:
                box, conf, mask = head(level)
                offsets.append(box)
                logits.append(conf)
                coefficients.append(mask)
        prototypes = self.proto_net(levels[0]).permute(0, 2, 3, 1)
        return (
            torch.cat(offsets, dim=1),
            torch.cat(logits, dim=1),
            torch.cat(coefficients, dim=1),
            prototypes,
        )

    @override
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Find objects.

        Parameters
        ----------
        image : Tensor
            [B, 3, S, S] float32, RGB, normalised.

        Returns
        -------
        tuple of Tensor
            boxes [B, K, 4] relative to the picture, scores [B, K], labels [B, K] int64, valid
            [B] int64, coefficients [B, K, D], prototypes [B, h, w, D]. Falling scores; rows past
            `valid` are zero, label -1.
        """
        offsets, logits, coefficients, prototypes = self.raw(image)
        boxes, scores, labels, valid, chosen = self.detect(
            offsets, logits.softmax(dim=-1), coefficients, self.priors
        )
        return boxes, scores, labels, valid, chosen, prototypes.contiguous()
