"""What YOLACT should say of a picture: which prior answers for which object, boxes, masks, maps.

Written from the paper (Bolya et al., 2019) and the description of ``layers/box_utils.py``
(``match``, ``encode``) of dbolya/yolact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segserve.training.instance_batches import Objects

BACKGROUND, IGNORED = -1, -2
"""Rows of priors that are no object's: surely none's, and near one."""

_HIGH_IOU, _LOW_IOU = 0.5, 0.4
_VARIANCES = (0.1, 0.2)
_LEAST_SIDE = 1e-4

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Targets:
    """What one picture's priors, maps and masks should say.

    Parameters
    ----------
    rows : int64 [A]
        Each prior's object, `BACKGROUND` or `IGNORED`.
    classes : int64 [A]
        From 1, as background is class 0; `IGNORED` stays.
    boxes : float32 [N, 4]
        Of the objects: x1, y1, x2, y2 relative to the picture.
    masks : float32 [N, h, w]
        Of the objects at the prototypes' size, 0 to 1.
    presence : float32 [classes, h / 2, w / 2]
        1 where an object of the class is in the cell.
    """

    rows: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor
    presence: Tensor


def overlaps(first: Boxes, second: Boxes) -> npt.NDArray[np.float32]:
    """Give the IoU of all pairs, [n, m], of boxes [n, 4] and [m, 4] with positive areas."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    iou: npt.NDArray[np.float32] = shared / (areas[0][:, None] + areas[1][None] - shared)
    return iou


def matched(priors: Boxes, boxes: Boxes) -> npt.NDArray[np.int64]:
    """Give each prior's object.

    A prior answers for the object that it overlaps most: at least by 0.5, or it is background
    below 0.4 and ignored between. Each object has the prior that overlaps it most in any case.

    Parameters
    ----------
    priors, boxes : float32 [A, 4], [N, 4]
        x1, y1, x2, y2.

    Returns
    -------
    int64 [A]
        Row of the object, `BACKGROUND` or `IGNORED`.
    """
    if not len(boxes):
        return np.full(len(priors), BACKGROUND, np.int64)
    iou = overlaps(priors, boxes)
    rows = iou.argmax(axis=1)
    best = iou.max(axis=1)
    rows = np.where(best < _HIGH_IOU, np.where(best < _LOW_IOU, BACKGROUND, IGNORED), rows)
    rows[iou.argmax(axis=0)] = np.arange(len(boxes))
    return rows


def corners(priors: Tensor) -> Boxes:
    """Give x1, y1, x2, y2 of priors [A, 4] that are centre x, centre y, width, height."""
    low = priors[:, :2] - priors[:, 2:] / 2
    boxes: Boxes = torch.cat([low, low + priors[:, 2:]], dim=1).numpy()
    return boxes


def offsets_of(boxes: Tensor, priors: Tensor) -> Tensor:
    """Give what the network should say for boxes: the inverse of ``yolact_detection.decoded``.

    Parameters
    ----------
    boxes : Tensor
        [n, 4], x1, y1, x2, y2 relative to the picture.
    priors : Tensor
        [n, 4], centre x, centre y, width, height.
    """
    sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=_LEAST_SIDE)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    moved = (centres - priors[:, :2]) / (_VARIANCES[0] * priors[:, 2:])
    return torch.cat([moved, torch.log(sizes / priors[:, 2:]) / _VARIANCES[1]], dim=1)


def relative_boxes(objects: Objects) -> Boxes:
    """Give boxes [N, 4] as shares of the picture's sides: stretching does not change them."""
    height, width = objects.masks.shape[1:]
    boxes: Boxes = objects.boxes / np.array([width, height, width, height], np.float32)
    return boxes


def targets_of(objects: Objects, priors: Tensor, side: int, classes: int) -> Targets:
    """Match priors with objects and bring masks to the prototypes' size.

    Parameters
    ----------
    objects : Objects
        Of one picture.
    priors : Tensor
        [A, 4], see `segserve.export.models.yolact.priors`.
    side : int
        Of the prototypes; the coarse maps have half of it.
    classes : int
        Background not counted.
    """
    boxes = relative_boxes(objects)
    rows = matched(corners(priors), boxes)
    # Rows -1 and -2 are the last two entries.
    known = np.append(objects.classes + 1, [IGNORED, 0])
    pixels = torch.from_numpy(objects.masks.astype(np.float32))[:, None]
    masks = functional.interpolate(pixels, size=(side, side), mode="area")[:, 0]
    cells = functional.max_pool2d(masks[:, None], 2)[:, 0] > 0
    presence = torch.zeros(classes, side // 2, side // 2)
    for cell, label in zip(cells, objects.classes, strict=True):
        presence[int(label)][cell] = 1
    return Targets(
        torch.from_numpy(rows),
        torch.from_numpy(known[rows]),
        torch.from_numpy(boxes),
        masks,
        presence,
    )
