"""Which detections of one image and category are right: COCO's greedy matching.

As ``pycocotools.cocoeval.COCOeval.evaluateImg``: detections by falling score each take the free
truth that they overlap most, if by the threshold at least; truths to be ignored (crowds, and areas
out of range) are taken only by what finds no other, and such detections count neither way. A crowd
may be taken many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.evaluation.iou import Floats, box_ious, mask_ious
from segserve.ops.rle import area

Kind = Literal["box", "mask"]
IOU_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
MOST_DETECTIONS = 100
_NEARLY_ONE = 1 - 1e-10
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """One annotated instance.

    Parameters
    ----------
    image_id, category_id : int
    box : tuple of float
        x, y, width, height in pixels: COCO's order.
    area : float
        Pixels, as annotated; decides between small, medium and large.
    mask : Rle or None
        Needed for the AP of masks.
    is_crowd : bool
    """

    image_id: int
    category_id: int
    box: tuple[float, float, float, float]
    area: float
    mask: Rle | None = None
    is_crowd: bool = False


@dataclass(frozen=True)
class Detection:
    """One found instance; fields as in `Truth`, and the score."""

    image_id: int
    category_id: int
    score: float
    box: tuple[float, float, float, float]
    mask: Rle | None = None


@dataclass(frozen=True)
class Overlaps:
    """One image and category: the best detections by falling score against all truths.

    Parameters
    ----------
    scores : float64 [D]
    areas : float64 [D]
        Of boxes or masks, as the kind is.
    ious : float64 [D, G]
    truth_areas : float64 [G]
    is_crowd : bool [G]
    """

    scores: Floats
    areas: Floats
    ious: Floats
    truth_areas: Floats
    is_crowd: Bools


@dataclass(frozen=True)
class Matches:
    """What became of an image's detections, at each of T thresholds.

    Parameters
    ----------
    scores : float64 [D]
        Falling.
    is_right, is_ignored : bool [T, D]
    truths : int
        That are not ignored.
    """

    scores: Floats
    is_right: Bools
    is_ignored: Bools
    truths: int


def overlaps(truths: Sequence[Truth], detections: Sequence[Detection], kind: Kind) -> Overlaps:
    """Compute all overlaps of one image and category.

    Raises
    ------
    InvalidInput
        When the kind is mask and an instance has none.
    """
    scores = np.array([d.score for d in detections], np.float64)
    order = np.argsort(-scores, kind="stable")[:MOST_DETECTIONS]
    best = [detections[i] for i in order]
    is_crowd = np.array([t.is_crowd for t in truths], bool)
    if kind == "box":
        boxes = np.array([d.box for d in best], np.float64).reshape(-1, 4)
        true_boxes = np.array([t.box for t in truths], np.float64).reshape(-1, 4)
        areas = boxes[:, 2] * boxes[:, 3]
        ious = box_ious(boxes, true_boxes, is_crowd)
    else:
        masks = [_mask(d) for d in best]
        areas = np.array([area(mask) for mask in masks], np.float64)
        ious = mask_ious(masks, [_mask(t) for t in truths], is_crowd)
    true_areas = np.array([t.area for t in truths], np.float64)
    return Overlaps(scores[order], areas, ious, true_areas, is_crowd)


def _mask(instance: Truth | Detection) -> Rle:
    if instance.mask is None:
        raise InvalidInput(
            f"an instance of category {instance.category_id} in image {instance.image_id} has no "
            f"mask: evaluate boxes, or give every instance one"
        )
    return instance.mask


def match(found: Overlaps, least_area: float, most_area: float) -> Matches:
    """Match at every threshold.

    Parameters
    ----------
    found : Overlaps
    least_area, most_area : float
        Pixels, both inclusive: truths of other areas are ignored, and so are unmatched detections.
    """
    out_of_range = (found.truth_areas < least_area) | (found.truth_areas > most_area)
    ignored = found.is_crowd | out_of_range
    order = np.argsort(ignored, kind="stable")
    ious, crowd, ignored = found.ious[:, order], found.is_crowd[order], ignored[order]
    count = len(found.scores)
    right = np.zeros((len(IOU_THRESHOLDS), count), bool)
    dropped = np.zeros_like(right)
    for at, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(ignored), bool)
        for row in range(count):
            taken = _best(ious[row], free, ignored, min(float(threshold), _NEARLY_ONE))
            if taken is not None:
                right[at, row] = True
                dropped[at, row] = ignored[taken]
                free[taken] = crowd[taken]
    other = (found.areas < least_area) | (found.areas > most_area)
    return Matches(found.scores, right, dropped | (~right & other), int((~ignored).sum()))


def _best(ious: Floats, free: Bools, ignored: Bools, threshold: float) -> int | None:
    """Give the truth that overlaps most; of equal ones the last, as COCO's loop finds it."""
    enough = free & (ious >= threshold)
    if not enough.any():
        return None
    wanted = enough & ~ignored
    candidates = np.flatnonzero(wanted if wanted.any() else enough)
    return int(candidates[::-1][np.argmax(ious[candidates[::-1]])])
