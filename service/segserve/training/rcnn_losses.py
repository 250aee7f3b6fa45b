"""Targets and losses of Mask R-CNN: of anchors, of proposals, of masks.

Sources: Ren et al., "Faster R-CNN" (2015), section 3.1.2; He et al., "Mask R-CNN" (2017),
section 3. Fewer rows are sampled than there, as the pictures are smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segserve.export.models.boxes import DeltaWeights
from segserve.export.models.detectron2_rcnn import JudgedAnchors
from segserve.export.models.proposals import Proposals, by_anchor
from segserve.export.models.roi_align import roi_align_plain
from segserve.export.models.two_stage import STAGE_TWO, channel_of
from segserve.training.anchor_targets import assign, sample
from segserve.training.box_coding import encode, offset_loss
from segserve.training.instance_batches import Objects

_HIGH, _LOW = 0.7, 0.3
_SHARE = 0.5
_ROI_IOU = 0.5
_SAMPLES = 2


@dataclass(frozen=True)
class Truths:
    """What is in the images of a batch, all in one list.

    Parameters
    ----------
    boxes : tuple of Tensor
        [N_i, 4] float32, one an image.
    classes : Tensor
        int64 [sum of N].
    masks : Tensor
        float32 [sum of N, H, W], 0 or 1.
    """

    boxes: tuple[Tensor, ...]
    classes: Tensor
    masks: Tensor

    @classmethod
    def of(cls, objects: Sequence[Objects]) -> Truths:
        """Put the objects of all images together."""
        return cls(
            tuple(torch.from_numpy(each.boxes) for each in objects),
            torch.cat([torch.from_numpy(each.classes) for each in objects]),
            torch.cat([torch.from_numpy(each.masks) for each in objects]).float(),
        )


@dataclass(frozen=True)
class Rois:
    """Proposals that are learnt from.

    Parameters
    ----------
    boxes : Tensor
        [R, 5] float32: image index, x1, y1, x2, y2.
    objects : Tensor
        int64 [R]: row in the batch's list of objects, -1 for the background.
    """

    boxes: Tensor
    objects: Tensor

    def on_objects(self, most: int) -> Rois:
        """Give those that stand for an object, at most so many, chosen by chance."""
        rows = (self.objects >= 0).nonzero().flatten()
        rows = rows[torch.randperm(len(rows))[:most]]
        return Rois(self.boxes[rows], self.objects[rows])


def proposal_loss(judged: JudgedAnchors, truths: Truths, count: int) -> Tensor:
    """Whether anchors hold an object, and where it is; a mean over what is sampled.

    Parameters
    ----------
    judged : JudgedAnchors
    truths : Truths
    count : int
        Sampled anchors of an image, at most half of which stand for objects.
    """
    levels = [by_anchor(*level) for level in zip(judged.logits, judged.deltas, strict=True)]
    logits, deltas = (torch.cat([level[i] for level in levels], dim=1) for i in (0, 1))
    anchors = torch.cat(judged.anchors)
    total = logits.sum() * 0
    for image, boxes in enumerate(truths.boxes):
        assigned = assign(anchors, boxes, _HIGH, _LOW)
        objects, background = sample(assigned, count, _SHARE)
        rows = torch.cat([objects, background])
        wanted = (assigned[rows] >= 0).to(logits.dtype)
        total = total + functional.binary_cross_entropy_with_logits(
            logits[image, rows], wanted, reduction="sum"
        )
        if len(objects):
            offsets = encode(boxes[assigned[objects]], anchors[objects], DeltaWeights())
            total = total + offset_loss(deltas[image, objects], offsets)
    return total / (count * len(truths.boxes))


def sample_rois(proposals: Proposals, truths: Truths, count: int) -> Rois:
    """Choose proposals, the objects' own boxes among them, at most half of them on objects.

    Parameters
    ----------
    proposals : Proposals
        Not differentiated.
    truths : Truths
    count : int
        Of an image.
    """
    rois, objects, first = [], [], 0
    for image, boxes in enumerate(truths.boxes):
        every = torch.cat([proposals.boxes[image][proposals.valid[image]], boxes])
        assigned = assign(every, boxes, _ROI_IOU, _ROI_IOU, keep_best=False)
        rows = torch.cat(sample(assigned, count, _SHARE))
        owners = assigned[rows]
        objects.append(torch.where(owners >= 0, owners + first, owners))
        index = every.new_full([len(rows), 1], float(image))
        rois.append(torch.cat([index, every[rows]], dim=1))
        first += len(boxes)
    return Rois(torch.cat(rois), torch.cat(objects))


def box_loss(logits: Tensor, offsets: Tensor, rois: Rois, truths: Truths) -> Tensor:
    """Cross-entropy of the classes and smooth L1 of the own class's offsets, per roi.

    Parameters
    ----------
    logits : Tensor
        [R, classes + 1], the background last.
    offsets : Tensor
        [R, 4 * classes].
    rois : Rois
    truths : Truths
    """
    count, background = logits.shape[0], logits.shape[1] - 1
    on_object = (rois.objects >= 0).nonzero().flatten()
    classes = torch.full([count], background, dtype=torch.int64)
    classes[on_object] = truths.classes[rois.objects[on_object]]
    boxes = torch.cat(truths.boxes)[rois.objects[on_object]]
    wanted = encode(boxes, rois.boxes[on_object, 1:], STAGE_TWO)
    own = channel_of(offsets[on_object].reshape(-1, background, 4), classes[on_object])
    return functional.cross_entropy(logits, classes) + offset_loss(own, wanted) / max(count, 1)


def mask_targets(rois: Rois, truths: Truths, side: int) -> Tensor:
    """Cut the objects' masks out by their rois: [R, side, side], 0 or 1.

    Parameters
    ----------
    rois : Rois
        All on objects.
    truths : Truths
    side : int
        Cells; a cell is 1 when at least half of its samples are on the object.
    """
    boxes = torch.cat([rois.objects[:, None].to(rois.boxes.dtype), rois.boxes[:, 1:]], dim=1)
    parts = roi_align_plain(truths.masks[:, None], boxes, side, 1.0, _SAMPLES, aligned=True)
    return (parts[:, 0] >= _ROI_IOU).to(parts.dtype)


def mask_loss(logits: Tensor, rois: Rois, truths: Truths) -> Tensor:
    """Binary cross-entropy of the own class's masks [R, classes, s, s]."""
    if not len(logits):
        return logits.sum()
    own = channel_of(logits, truths.classes[rois.objects])
    wanted = mask_targets(rois, truths, logits.shape[-1])
    return functional.binary_cross_entropy_with_logits(own, wanted)
