"""What YOLACT should say of a picture: which prior answers for which object, boxes, masks, maps.

Written from the paper (Bolya et al., 2019) and the description of ``layers/box_utils.py``
(``match``, ``encode``) of dbolya/yolact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segserve.export.models.boxes import DeltaWeights
from segserve.training.anchor_targets import IGNORED, assign
from segserve.training.box_coding import encode
from segserve.training.instance_batches import Objects

_HIGH_IOU, _LOW_IOU = 0.5, 0.4
_WEIGHTS = DeltaWeights(centre=10.0, side=5.0)  # the inverse of the variances 0.1 and 0.2


@dataclass(frozen=True)
class Targets:
    """What one picture's priors, maps and masks should say.

    Parameters
    ----------
    rows : int64 [A]
        Each prior's object, or a mark: see `segserve.training.anchor_targets`.
    classes : int64 [A]
        From 1, as background is class 0; -2 for priors that do not count.
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


def corners(priors: Tensor) -> Tensor:
    """Give x1, y1, x2, y2 of priors [A, 4] that are centre x, centre y, width, height."""
    low = priors[:, :2] - priors[:, 2:] / 2
    return torch.cat([low, low + priors[:, 2:]], dim=1)


def offsets_of(boxes: Tensor, priors: Tensor) -> Tensor:
    """Give what the network should say for boxes: the inverse of ``yolact_detection.decoded``.

    Parameters
    ----------
    boxes : Tensor
        [n, 4], x1, y1, x2, y2 relative to the picture.
    priors : Tensor
        [n, 4], centre x, centre y, width, height.
    """
    return encode(boxes, corners(priors), _WEIGHTS)


def relative_boxes(objects: Objects) -> Tensor:
    """Give boxes [N, 4] as shares of the picture's sides: stretching does not change them."""
    height, width = objects.masks.shape[1:]
    sides = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.from_numpy(objects.boxes) / sides


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
    rows = assign(corners(priors), boxes, _HIGH_IOU, _LOW_IOU)
    # Rows -1 (background) and -2 (ignored) count from the end.
    known = torch.from_numpy(np.append(objects.classes + 1, [IGNORED, 0]))
    pixels = torch.from_numpy(objects.masks.astype(np.float32))[:, None]
    masks = functional.interpolate(pixels, size=(side, side), mode="area")[:, 0]
    cells = functional.max_pool2d(masks[:, None], 2)[:, 0] > 0
    presence = torch.zeros(classes, side // 2, side // 2)
    for cell, label in zip(cells, objects.classes, strict=True):
        presence[int(label)][cell] = 1
    return Targets(rows, known[rows], boxes, masks, presence)
