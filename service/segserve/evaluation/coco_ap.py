"""Average precision of boxes and masks as COCO defines it.

As ``pycocotools.cocoeval``: ten IoU thresholds from 0.5 to 0.95, precision made non-increasing and
read at 101 recalls, averaged over thresholds, recalls and the categories that have truths. A
detection's size is that of its box when boxes are compared and of its mask when masks are; results
loaded into pycocotools with both ``bbox`` and ``segmentation`` have the box's size for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segserve.evaluation.coco_match import (
    IOU_THRESHOLDS,
    Detection,
    Kind,
    Matches,
    Overlaps,
    Truth,
    match,
    overlaps,
)
from segserve.evaluation.iou import Floats

AREA_RANGES: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MOST = (1, 10, 100)
_RECALLS: Floats = np.linspace(0.0, 1.0, 101)
_NONE = -1.0


@dataclass(frozen=True)
class ApScores:
    """COCO's twelve figures in [0, 1], -1 where there are no truths.

    Parameters
    ----------
    ap, ap50, ap75 : float
        Over all thresholds, at 0.5, and at 0.75.
    ap_small, ap_medium, ap_large : float
        Of truths under 32 x 32 pixels, up to 96 x 96, and above.
    ar_1, ar_10, ar_100 : float
        Recall, averaged over thresholds, with at most so many detections an image and category.
    ar_small, ar_medium, ar_large : float
        With at most 100.
    by_category : Mapping of int to float
        AP of each category that has truths.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    by_category: Mapping[int, float]


@dataclass(frozen=True)
class _Curve:
    """Precision [T, 101] and final recall [T] of one category, area range and cut."""

    precision: Floats
    recall: Floats


def average_precision(
    truths: Iterable[Truth], detections: Iterable[Detection], kind: Kind
) -> ApScores:
    """Score all detections of a data set.

    Parameters
    ----------
    truths, detections : iterable of Truth, of Detection
        Of all images.
    kind : {"box", "mask"}

    Raises
    ------
    InvalidInput
        When the kind is mask and an instance has none.
    """
    pairs = list(_pairs(truths, detections, kind))
    curves = {
        (name, most): _curves(pairs, limits, most)
        for name, limits in AREA_RANGES.items()
        for most in (MOST if name == "all" else MOST[-1:])
    }
    whole = curves["all", MOST[-1]]

    def precision(name: str, thresholds: slice = slice(None)) -> float:
        return _mean([c.precision[thresholds] for c in curves[name, MOST[-1]].values()])

    def recall(name: str, most: int) -> float:
        return _mean([c.recall for c in curves[name, most].values()])

    at_50, at_75 = (int(np.argmin(np.abs(IOU_THRESHOLDS - t))) for t in (0.5, 0.75))
    return ApScores(
        ap=precision("all"),
        ap50=precision("all", slice(at_50, at_50 + 1)),
        ap75=precision("all", slice(at_75, at_75 + 1)),
        ap_small=precision("small"),
        ap_medium=precision("medium"),
        ap_large=precision("large"),
        ar_1=recall("all", 1),
        ar_10=recall("all", 10),
        ar_100=recall("all", 100),
        ar_small=recall("small", 100),
        ar_medium=recall("medium", 100),
        ar_large=recall("large", 100),
        by_category={category: float(c.precision.mean()) for category, c in whole.items()},
    )


def _pairs(
    truths: Iterable[Truth], detections: Iterable[Detection], kind: Kind
) -> Iterator[tuple[int, Overlaps]]:
    """Give category and overlaps of every image, in rising order of category and image."""
    wanted: dict[tuple[int, int], list[Truth]] = defaultdict(list)
    found: dict[tuple[int, int], list[Detection]] = defaultdict(list)
    for truth in truths:
        wanted[truth.category_id, truth.image_id].append(truth)
    for detection in detections:
        found[detection.category_id, detection.image_id].append(detection)
    known = {category for category, _ in wanted}
    for key in sorted({*wanted, *(k for k in found if k[0] in known)}):
        yield key[0], overlaps(wanted.get(key, []), found.get(key, []), kind)


def _curves(
    pairs: Sequence[tuple[int, Overlaps]], limits: tuple[float, float], most: int
) -> dict[int, _Curve]:
    """Give the curve of each category with a truth in range."""
    matched: dict[int, list[Matches]] = defaultdict(list)
    for category, found in pairs:
        matched[category].append(match(found, *limits))
    return {
        category: _curve(images, most)
        for category, images in matched.items()
        if any(image.truths for image in images)
    }


def _curve(images: Sequence[Matches], most: int) -> _Curve:
    scores = np.concatenate([image.scores[:most] for image in images])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([image.is_right[:, :most] for image in images], axis=1)[:, order]
    dropped = np.concatenate([image.is_ignored[:, :most] for image in images], axis=1)[:, order]
    truths = sum(image.truths for image in images)
    hits = np.cumsum(right & ~dropped, axis=1).astype(np.float64)
    misses = np.cumsum(~right & ~dropped, axis=1).astype(np.float64)
    recall = hits / truths
    precision = hits / (hits + misses + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    read = np.zeros((len(IOU_THRESHOLDS), len(_RECALLS)))
    for at in range(len(IOU_THRESHOLDS)):
        first = np.searchsorted(recall[at], _RECALLS, side="left")
        reached = first < len(scores)
        read[at, reached] = precision[at, first[reached]]
    return _Curve(read, recall[:, -1] if len(scores) else np.zeros(len(IOU_THRESHOLDS)))


def _mean(values: Sequence[Floats]) -> float:
    return float(np.mean(values)) if values else _NONE
