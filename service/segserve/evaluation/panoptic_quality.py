"""Panoptic quality, as Kirillov et al. 2019 define it and the panoptic API counts it.

A predicted and a true segment of one category match when their IoU is over 0.5, which at most one
of each can. PQ = sum of IoU over matches / (TP + FP/2 + FN/2) = SQ x RQ. Void pixels (id 0 of the
truth) leave the union; a prediction that lies by more than half on void, or on a crowd of its own
category, is no false positive (cocodataset/panopticapi, ``evaluation.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput

VOID = 0
_LEAST = 0.5


@dataclass(frozen=True)
class PanopticSegment:
    """One segment of a map.

    Parameters
    ----------
    id : int
        The value that its pixels have, not `VOID`.
    category_id : int
    is_crowd : bool
        Of truths alone.
    """

    id: int
    category_id: int
    is_crowd: bool = False


@dataclass(frozen=True)
class Quality:
    """PQ, SQ and RQ in [0, 1], averaged over the categories that occur.

    Parameters
    ----------
    pq, sq, rq : float
    categories : int
        That occur in truth or prediction.
    """

    pq: float
    sq: float
    rq: float
    categories: int


@dataclass
class _Counts:
    """Of one category: sum of IoU, true positives, false positives, false negatives."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def quality(self) -> tuple[float, float, float]:
        weight = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return self.iou / weight, self.iou / self.tp if self.tp else 0.0, self.tp / weight


class PanopticCounts:
    """Counts matches over images."""

    def __init__(self) -> None:
        self._by_category: dict[int, _Counts] = defaultdict(_Counts)

    def add(
        self,
        truth: tuple[npt.NDArray[Any], Iterable[PanopticSegment]],
        predicted: tuple[npt.NDArray[Any], Iterable[PanopticSegment]],
    ) -> None:
        """Count one image.

        Parameters
        ----------
        truth, predicted : map and its segments
            Integer maps [H, W] of one shape; what no segment names counts as void in the truth
            and is refused in the prediction.

        Raises
        ------
        InvalidInput
            When shapes differ, or the prediction's map and segments do not agree.
        """
        if truth[0].shape != predicted[0].shape:
            raise InvalidInput(f"truth is {truth[0].shape}, prediction is {predicted[0].shape}")
        wanted = {s.id: s for s in truth[1] if s.id != VOID}
        found = {s.id: s for s in predicted[1]}
        shared = _overlaps(truth[0], predicted[0])
        areas: dict[int, int] = defaultdict(int)
        for (_, ours), pixels in shared.items():
            areas[ours] += pixels
        wrong = sorted((set(areas) - {VOID}) ^ set(found))
        if wrong:
            raise InvalidInput(f"segments {wrong[:5]} are in the map or in the list, not in both")
        matched = self._count_right(wanted, found, shared, areas)
        self._count_missed(wanted, {theirs for theirs, _ in matched})
        rest = [s for s in found.values() if s.id not in {ours for _, ours in matched}]
        self._count_wrong(wanted, rest, shared, areas)

    def _count_right(
        self,
        wanted: Mapping[int, PanopticSegment],
        found: Mapping[int, PanopticSegment],
        shared: Mapping[tuple[int, int], int],
        areas: Mapping[int, int],
    ) -> list[tuple[int, int]]:
        true_areas: dict[int, int] = defaultdict(int)
        for (theirs, _), pixels in shared.items():
            true_areas[theirs] += pixels
        matched = []
        for (theirs, ours), pixels in shared.items():
            one, other = wanted.get(theirs), found.get(ours)
            if one is None or other is None or one.is_crowd:
                continue
            void = shared.get((VOID, ours), 0)
            iou = pixels / (areas[ours] + true_areas[theirs] - pixels - void)
            if one.category_id == other.category_id and iou > _LEAST:
                self._by_category[one.category_id].tp += 1
                self._by_category[one.category_id].iou += iou
                matched.append((theirs, ours))
        return matched

    def _count_missed(self, wanted: Mapping[int, PanopticSegment], matched: set[int]) -> None:
        for segment in wanted.values():
            if not segment.is_crowd and segment.id not in matched:
                self._by_category[segment.category_id].fn += 1

    def _count_wrong(
        self,
        wanted: Mapping[int, PanopticSegment],
        rest: Iterable[PanopticSegment],
        shared: Mapping[tuple[int, int], int],
        areas: Mapping[int, int],
    ) -> None:
        # Of several crowds of a category the last counts, as in the panoptic API.
        crowds = {s.category_id: s.id for s in wanted.values() if s.is_crowd}
        for segment in rest:
            excused = shared.get((VOID, segment.id), 0)
            if segment.category_id in crowds:
                excused += shared.get((crowds[segment.category_id], segment.id), 0)
            if excused / areas[segment.id] <= _LEAST:
                self._by_category[segment.category_id].fp += 1

    def quality(self, categories: Iterable[int] | None = None) -> Quality:
        """Average over `categories`, or over all; those that do not occur are left out."""
        chosen = set(self._by_category if categories is None else categories)
        counted = [
            counts.quality()
            for category, counts in self._by_category.items()
            if category in chosen and counts.tp + counts.fp + counts.fn
        ]
        if not counted:
            return Quality(0.0, 0.0, 0.0, 0)
        pq, sq, rq = np.mean(counted, axis=0).tolist()
        return Quality(pq, sq, rq, len(counted))


def _overlaps(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> dict[tuple[int, int], int]:
    """Give the pixels of every pair of ids, by rising pair."""
    top = int(predicted.max(initial=0)) + 1
    pairs, pixels = np.unique(truth.astype(np.int64) * top + predicted, return_counts=True)
    return {
        (int(pair) // top, int(pair) % top): int(n) for pair, n in zip(pairs, pixels, strict=True)
    }
