"""PointRend for instances, with the parameter names of detectron2's checkpoints.

Written from the paper (Kirillov et al., 2020) and the description of detectron2's
``projects/PointRend/point_rend/{mask_head,point_head,point_features}.py``. Of the 80 classes' masks
only the predicted class's is kept while it grows: all of them would be 1.6 GB for 100 detections.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from segserve.export.models.detections import rows_of, scatter_rows, true_rows
from segserve.export.models.detectron2_rcnn import Detectron2Rcnn, RcnnRules, RcnnWidths
from segserve.export.models.points import in_boxes, most_uncertain, regular_grid, sample_points
from segserve.export.models.two_stage import channel_of

_COARSE_POINTS, _COARSE_CELLS = 14, 7
_FIRST_CELLS = 28
_STEPS = 3
_POINTS = 784
_FINEST_SCALE = 0.25
_LAYERS = 3
_OLD_COARSE = "roi_heads.mask_head.coarse_head.coarse_mask_fc"
_COARSE = "roi_heads.mask_head.coarse_head.fc"

MASK_CELLS = _FIRST_CELLS << _STEPS
"""Sides of the masks that leave: 224."""


class CoarseHead(nn.Module):
    """A 7 x 7 mask of every class, from 14 x 14 points.

    Parameters
    ----------
    widths : RcnnWidths
    num_classes : int
    """

    def __init__(self, widths: RcnnWidths, num_classes: int) -> None:
        super().__init__()
        cells = _COARSE_CELLS**2
        self.num_classes = num_classes
        self.reduce_spatial_dim_conv = nn.Conv2d(widths.pyramid, widths.pyramid, 2, 2)
        self.fc1 = nn.Linear(widths.pyramid * cells, widths.fully_connected)
        self.fc2 = nn.Linear(widths.fully_connected, widths.fully_connected)
        self.prediction = nn.Linear(widths.fully_connected, num_classes * cells)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map [R, pyramid, 14, 14] to logits [R, num_classes, 7, 7]."""
        x = functional.relu(self.reduce_spatial_dim_conv(x)).flatten(1)
        x = functional.relu(self.fc2(functional.relu(self.fc1(x))))
        logits: Tensor = self.prediction(x)
        return logits.reshape(-1, self.num_classes, _COARSE_CELLS, _COARSE_CELLS)


class PointHead(nn.Module):
    """Three 1x1 layers that see the coarse logits anew each time.

    Parameters
    ----------
    channels : int
        Of the fine features, and of each layer.
    num_classes : int
        Channels of the coarse logits and of what goes out.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        for index in range(1, _LAYERS + 1):
            self.add_module(f"fc{index}", nn.Conv1d(channels + num_classes, channels, 1))
        self.predictor = nn.Conv1d(channels + num_classes, num_classes, 1)

    @override
    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Map [R, channels, P] and [R, num_classes, P] to logits [R, num_classes, P]."""
        x = torch.cat([fine, coarse], dim=1)
        for index in range(1, _LAYERS + 1):
            x = functional.relu(self.get_submodule(f"fc{index}")(x))
            x = torch.cat([x, coarse], dim=1)
        logits: Tensor = self.predictor(x)
        return logits


class PointRendMaskHead(nn.Module):
    """Masks of detections, refined where they are uncertain.

    Parameters
    ----------
    widths : RcnnWidths
    num_classes : int
    """

    def __init__(self, widths: RcnnWidths, num_classes: int) -> None:
        super().__init__()
        self.point_head = PointHead(widths.pyramid, num_classes)
        self.coarse_head = CoarseHead(widths, num_classes)

    def coarse(self, finest: Tensor, rois: Tensor) -> Tensor:
        """Give each roi's masks of all classes before any refining.

        Parameters
        ----------
        finest, rois : Tensor
            See `forward`.

        Returns
        -------
        Tensor
            [R, num_classes, 7, 7] logits.
        """
        everywhere = regular_grid(_COARSE_POINTS, rois).unsqueeze(0).expand(rois.shape[0], -1, -1)
        grid = self.fine(finest, rois, everywhere)
        logits: Tensor = self.coarse_head(
            grid.reshape(-1, grid.shape[1], _COARSE_POINTS, _COARSE_POINTS)
        )
        return logits

    def fine(self, finest: Tensor, rois: Tensor, points: Tensor) -> Tensor:
        """Give features [R, C, P] at `points` [R, P, 2], relative to the rois."""
        at = in_boxes(points, rois[:, 1:]) * _FINEST_SCALE
        return sample_points(finest, rois[:, 0].long(), at)

    def judge(self, finest: Tensor, rois: Tensor, coarse: Tensor, points: Tensor) -> Tensor:
        """Give logits [R, num_classes, P] at `points` [R, P, 2], relative to the rois."""
        own = torch.arange(rois.shape[0], device=rois.device)
        seen = sample_points(coarse, own, points * _COARSE_CELLS)
        logits: Tensor = self.point_head(self.fine(finest, rois, points), seen)
        return logits

    def refine(self, finest: Tensor, rois: Tensor, labels: Tensor, coarse: Tensor) -> Tensor:
        """Give each roi's mask of its own class from the coarse ones.

        Parameters
        ----------
        finest, rois, labels : Tensor
            See `forward`.
        coarse : Tensor
            [R, num_classes, 7, 7] logits.
        """

        def judge(points: Tensor) -> Tensor:
            return channel_of(self.judge(finest, rois, coarse, points), labels)

        everywhere = regular_grid(_FIRST_CELLS, rois).unsqueeze(0).expand(rois.shape[0], -1, -1)
        mask = judge(everywhere).reshape(-1, _FIRST_CELLS, _FIRST_CELLS)
        for step in range(1, _STEPS + 1):
            side = _FIRST_CELLS << step
            mask = functional.interpolate(
                mask.unsqueeze(1), size=(side, side), mode="bilinear", align_corners=False
            ).squeeze(1)
            index, points = most_uncertain(mask, _POINTS)
            mask = mask.flatten(1).scatter(1, index, judge(points)).reshape(-1, side, side)
        return mask

    @override
    def forward(self, finest: Tensor, rois: Tensor, labels: Tensor) -> Tensor:
        """Give each roi's mask of its own class.

        Parameters
        ----------
        finest : Tensor
            [B, C, h, w] at stride 4.
        rois : Tensor
            [R, 5]: image index, x1, y1, x2, y2.
        labels : Tensor
            [R] int64.

        Returns
        -------
        Tensor
            [R, 224, 224] logits.
        """
        return self.refine(finest, rois, labels, self.coarse(finest, rois))


class PointRendInstance(Detectron2Rcnn):
    """Mask R-CNN's boxes with PointRend's masks.

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
        super().__init__(num_classes, widths, PointRendMaskHead(widths, num_classes), rules)

    @override
    def adapt_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also rename the coarse head's layers, which had other names before version 2."""
        return {
            key.replace(_OLD_COARSE, _COARSE): value
            for key, value in super().adapt_checkpoint(state).items()
        }

    @override
    def forward(
        self, image: Tensor, image_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Detect.

        Parameters
        ----------
        image, image_size : Tensor
            See `Detectron2Rcnn.detect`.

        Returns
        -------
        boxes, scores, labels, valid, masks : Tensor
            [B, K, 4] in network pixels, [B, K], [B, K] int64, [B] int64, [B, K, 224, 224]
            probabilities; rows past `valid` are zero with label -1.
        """
        pyramid, found = self.detect(image, image_size)
        rows = true_rows(found.valid)
        rois = rows_of(found.boxes, rows)
        logits = self.roi_heads.mask_head(pyramid[0], rois, found.labels.flatten()[rows])
        masks = scatter_rows(torch.sigmoid(logits), rows, found.scores)
        return *found.columns, masks
