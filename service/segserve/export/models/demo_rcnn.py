"""The two-stage detectors that are bundled with learned weights: detectron2's, slim."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from segserve.export.models.detections import DetectionRule, rows_of, scatter_rows, true_rows
from segserve.export.models.detectron2_rcnn import POOLED_LEVELS, RcnnRules, RcnnWidths
from segserve.export.models.mask_rcnn_detectron2 import Detectron2MaskRcnn
from segserve.export.models.pointrend_instance import PointRendInstance, PointRendMaskHead
from segserve.export.models.proposals import ProposalRule
from segserve.export.models.roi_align import Pooling
from segserve.export.models.two_stage import BoxRule, channel_of

ROWS = 20
"""Detections of an image."""

WIDTHS = RcnnWidths(depths=(2, 2, 3, 2), stem=12, pyramid=48, fully_connected=96)
RULES = RcnnRules(
    anchors_px=(24.0, 48.0, 80.0, 120.0, 160.0),
    proposals=ProposalRule(per_level=100, kept=100),
    boxes=BoxRule(
        levels=POOLED_LEVELS,
        pooling=Pooling(7, 2, aligned=True),
        detections=DetectionRule(kept=ROWS),
        background_first=False,
    ),
    mask_pooling=Pooling(14, 2, aligned=True),
)


class DemoPointRend(PointRendInstance):
    """PointRend that also gives the masks before it refines them."""

    @property
    def mask_head(self) -> PointRendMaskHead:
        """The coarse head and the point head."""
        head = self.roi_heads.mask_head
        if not isinstance(head, PointRendMaskHead):
            raise TypeError(f"the mask head is a {type(head).__name__}, not a PointRendMaskHead")
        return head

    @override
    def forward(self, image: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]  # one output more
        """Detect.

        Returns
        -------
        boxes, scores, labels, valid, masks, coarse_masks : Tensor
            As `PointRendInstance`, and [B, K, 7, 7] probabilities.
        """
        pyramid, found = self.detect(image, image_size)
        rows = true_rows(found.valid)
        rois, labels = rows_of(found.boxes, rows), found.labels.flatten()[rows]
        head = self.mask_head
        coarse = head.coarse(pyramid[0], rois)
        fine = head.refine(pyramid[0], rois, labels, coarse)
        masks, coarse_masks = (
            scatter_rows(torch.sigmoid(logits), rows, found.scores)
            for logits in (fine, channel_of(coarse, labels))
        )
        return *found.columns, masks, coarse_masks


def demo_mask_rcnn(num_classes: int) -> Detectron2MaskRcnn:
    """Build Mask R-CNN for pictures of 320 pixels."""
    return Detectron2MaskRcnn(num_classes, WIDTHS, RULES)


def demo_pointrend(num_classes: int) -> DemoPointRend:
    """Build PointRend for pictures of 320 pixels; equal to the other up to the masks."""
    return DemoPointRend(num_classes, WIDTHS, RULES)
