"""PolarMask with the parameter names of xieenze/PolarMask's checkpoints.

Written from the paper (Xie et al., 2019) and the description of
``mmdet/models/anchor_heads/polarmask_head.py`` (commit
90c479856fa8aa1e2d519886df5a5f8a58a4aaf2): a box and a contour of 36 rays from every point of five
levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from segserve.export.models.detection_ops import nms_mask
from segserve.export.models.detections import valid_count
from segserve.export.models.mmdet_fpn import FeaturePyramid, tower
from segserve.export.models.resnet import EXPANSION, ResNetPyramid

_STRIDES_PX = (8, 16, 32, 64, 128)
_LEVELS = len(_STRIDES_PX)
_CENTERNESS_OFFSET = 0.5
_DROPPED = float("-inf")


@dataclass(frozen=True)
class PolarShape:
    """Sizes and thresholds; by default the published R50 at 768.

    Parameters
    ----------
    depths : tuple of int
        Blocks of the ResNet's stages.
    width : int
        Channels of its stem.
    channels : int
        Of the pyramid and the towers.
    head_depth : int
        Convolutions of a tower.
    rays : int
        Corners of a contour, at equal angles.
    classes : int
    per_level : int
        Best points of a level that are looked at.
    score_threshold : float
        A class's probability must be greater.
    iou_threshold : float
        Of the suppression within a class.
    rows : int
        Best that leave.
    """

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    channels: int = 256
    head_depth: int = 4
    rays: int = 36
    classes: int = 80
    per_level: int = 1000
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    rows: int = 100


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * self.scale


class PolarHead(nn.Module):
    """Class, centerness, box sides and rays of every point.

    Parameters
    ----------
    shape : PolarShape
    """

    def __init__(self, shape: PolarShape) -> None:
        super().__init__()
        width, depth = shape.channels, shape.head_depth
        self.cls_convs = tower(width, width, depth)
        self.reg_convs = tower(width, width, depth)
        self.mask_convs = tower(width, width, depth)
        self.polar_cls = nn.Conv2d(width, shape.classes, 3, padding=1)
        self.polar_reg = nn.Conv2d(width, 4, 3, padding=1)
        self.polar_mask = nn.Conv2d(width, shape.rays, 3, padding=1)
        self.polar_centerness = nn.Conv2d(width, 1, 3, padding=1)
        self.scales_bbox = nn.ModuleList([Scale() for _ in range(_LEVELS)])
        self.scales_mask = nn.ModuleList([Scale() for _ in range(_LEVELS)])

    @override
    def forward(self, levels: list[Tensor]) -> list[list[Tensor]]:
        """Give for each level four maps.

        Returns
        -------
        list of list of Tensor
            Logits of classes [B, classes, h, w] and of centerness [B, 1, h, w]; distances from the
            point in network pixels: left, top, right, bottom [B, 4, h, w], and rays [B, rays, h,
            w].
        """
        out: list[list[Tensor]] = []
        for i, (box_scale, ray_scale) in enumerate(zip(self.scales_bbox, self.scales_mask)):  # noqa: B905  TorchScript knows no `strict`
            level = levels[i]
            seen = self.cls_convs(level)
            sides = box_scale(self.polar_reg(self.reg_convs(level))).exp()
            rays = ray_scale(self.polar_mask(self.mask_convs(level))).exp()
            out.append([self.polar_cls(seen), self.polar_centerness(seen), sides, rays])
        return out


def _by_point(maps: Tensor) -> Tensor:
    """Bring [B, C, h, w] to [B, h * w, C]."""
    return maps.flatten(2).transpose(1, 2)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Give rows [B, M, C] of `table` [B, N, C] by `index` [B, M]."""
    return table.gather(1, index[:, :, None].expand(-1, -1, table.shape[2]))


def points_of(level: Tensor, stride_px: int) -> Tensor:
    """Give x and y of every cell of [B, C, h, w] in network pixels, float [h * w, 2]."""
    across = torch.arange(level.shape[3], dtype=level.dtype, device=level.device)
    down = torch.arange(level.shape[2], dtype=level.dtype, device=level.device)
    x = across[None, :].expand(level.shape[2], level.shape[3]).flatten()
    y = down[:, None].expand(level.shape[2], level.shape[3]).flatten()
    return torch.stack([x, y], dim=1) * float(stride_px) + float(stride_px // 2)


class PolarSelection(nn.Module):
    """From maps to a fixed number of objects.

    Parameters
    ----------
    shape : PolarShape
    """

    def __init__(self, shape: PolarShape) -> None:
        super().__init__()
        # Of whole degrees, as the original: another rounding moves corners of masks by a pixel.
        degrees = torch.arange(shape.rays, dtype=torch.float32) * (360 / shape.rays)
        angles = degrees / 180 * math.pi
        # The original's contours begin below the point and turn towards larger x.
        self.turns = nn.Buffer(torch.stack([angles.sin(), angles.cos()]), persistent=False)
        self.strides_px = list(_STRIDES_PX)
        self.dropped = _DROPPED
        self.offset = _CENTERNESS_OFFSET
        self.per_level = shape.per_level
        self.score_threshold = shape.score_threshold
        self.iou_threshold = shape.iou_threshold
        self.rows = shape.rows

    @override
    def forward(
        self, maps: list[list[Tensor]], network: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Choose.

        Parameters
        ----------
        maps : list of list of Tensor
            As `PolarHead` gives them.
        network : Tensor
            float [2]: largest x and y inside the network's input.
        scale : Tensor
            float [B, 2]: network pixels per source pixel, across and down: suppression counts in
            source pixels.

        Returns
        -------
        tuple of Tensor
            boxes [B, rows, 4], scores [B, rows], labels [B, rows] int64, valid [B] int64 and
            contours [B, rows, 2, rays], by falling score; boxes and contours in network pixels.
            Rows past `valid` are zero, label -1.
        """
        levels = [self._best_of_level(level, self.strides_px[i]) for i, level in enumerate(maps)]
        points = torch.cat([level[0] for level in levels], dim=1)
        scores = torch.cat([level[1] for level in levels], dim=1)
        sides = torch.cat([level[2] for level in levels], dim=1)
        rays = torch.cat([level[3] for level in levels], dim=1)
        low = torch.minimum((points - sides[:, :, :2]).clamp(min=0.0), network)
        high = torch.minimum((points + sides[:, :, 2:]).clamp(min=0.0), network)
        scores = self._unsuppressed(low, high, scores, scale)
        best, index = self._best(scores.flatten(1), self.rows)
        valid = best > self.dropped
        row = torch.div(index, scores.shape[2], rounding_mode="floor")
        contours = _rows(points, row)[:, :, :, None] + _rows(rays, row)[:, :, None, :] * self.turns
        contours = torch.minimum(contours.clamp(min=0.0), network[:, None])
        boxes = _rows(torch.cat([low, high], dim=2), row)
        labels = torch.where(valid, torch.remainder(index, scores.shape[2]), -1)
        return (
            torch.where(valid[:, :, None], boxes, 0.0),
            torch.where(valid, best, 0.0),
            labels,
            valid_count(valid),
            torch.where(valid[:, :, None, None], contours, 0.0),
        )

    def _best(self, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Give the best `count` of [B, N] and where they are; minus infinity if there are fewer."""
        padding = torch.full([scores.shape[0], count], self.dropped, device=scores.device)
        best, index = torch.cat([scores, padding], dim=1).topk(count, dim=1)
        return best, index.clamp(max=scores.shape[1] - 1)

    def _best_of_level(self, maps: list[Tensor], stride_px: int) -> list[Tensor]:
        """Give point, scores, box sides and rays of the best points; no score where there is none.

        A class counts when its probability alone passes the threshold; its score is multiplied by
        centerness + 0.5.
        """
        classes = _by_point(maps[0]).sigmoid()
        centerness = _by_point(maps[1]).sigmoid()
        best, index = self._best((classes * centerness).amax(dim=2), self.per_level)
        chosen = _rows(classes, index)
        scores = chosen * (_rows(centerness, index) + self.offset)
        keep = (chosen > self.score_threshold) & (best > self.dropped)[:, :, None]
        return [
            points_of(maps[0], stride_px)[index],
            torch.where(keep, scores, self.dropped),
            _rows(_by_point(maps[2]), index),
            _rows(_by_point(maps[3]), index),
        ]

    def _unsuppressed(self, low: Tensor, high: Tensor, scores: Tensor, scale: Tensor) -> Tensor:
        """Drop scores [B, P, classes] of boxes that overlap a better one of the class.

        A box from 3 to 5 counts as three source pixels wide.
        """
        batch, points, classes = scores.shape[0], scores.shape[1], scores.shape[2]
        boxes = torch.cat([low / scale[:, None], high / scale[:, None] + 1.0], dim=2)
        groups = boxes[:, None].expand(batch, classes, points, 4).reshape(-1, points, 4)
        by_class = scores.transpose(1, 2)
        kept = nms_mask(groups, by_class.reshape(-1, points), self.iou_threshold)
        kept = kept.reshape(batch, classes, points).transpose(1, 2)
        return torch.where(kept, scores, self.dropped)


class PolarMask(nn.Module):
    """Trunk, pyramid, head and selection.

    Parameters
    ----------
    shape : PolarShape
    """

    def __init__(self, shape: PolarShape) -> None:
        super().__init__()
        self.backbone = ResNetPyramid(
            shape.depths, (False, False, False), shape.width, stride_on_1x1=True
        )
        stages = [shape.width * EXPANSION * 2**i for i in range(1, 4)]
        self.neck = FeaturePyramid(stages, shape.channels, "conv")
        self.bbox_head = PolarHead(shape)
        self.selection = PolarSelection(shape)

    @override
    def forward(
        self, image: Tensor, source_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Find objects.

        Parameters
        ----------
        image : Tensor
            [B, 3, H, W] float32, BGR, minus the mean; the picture stretched to the whole input.
        source_size : Tensor
            [B, 2] float32: height and width of the picture before it was stretched.

        Returns
        -------
        tuple of Tensor
            boxes, scores, labels, valid and contours; see `PolarSelection.forward`.
        """
        maps = self.bbox_head(self.neck(self.backbone(image)))
        network = torch.tensor(
            [image.shape[3], image.shape[2]], dtype=image.dtype, device=image.device
        )
        out: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = self.selection(
            maps, network - 1.0, network / source_size.flip(1)
        )
        return out
