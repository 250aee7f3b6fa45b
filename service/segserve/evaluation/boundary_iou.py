"""Boundary IoU: the IoU of what lies near the outlines alone (Cheng et al. 2021, equation 5).

A mask's boundary is its pixels within d of its outline, d being 2 % of the image's diagonal: the
mask without its erosion, d times by 3 x 3; the image's edge counts as outside
(bowenc0221/boundary-iou-api, ``mask_to_boundary``). Pixels are counted over a whole data set and
divided once per class, as for mean IoU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.evaluation.semantic import IGNORED

SHARE_OF_DIAGONAL = 0.02
Mask = npt.NDArray[np.bool_]


def boundary_width_px(height_px: int, width_px: int, share: float = SHARE_OF_DIAGONAL) -> int:
    """Give d for an image: `share` of its diagonal, rounded, at least 1."""
    return max(1, round(share * float(np.hypot(height_px, width_px))))


def boundary(mask: Mask, distance_px: int) -> Mask:
    """Give the pixels of `mask` bool [H, W] within `distance_px` of its outline."""
    inner = _eroded(_eroded(mask, distance_px).T, distance_px).T
    return mask & ~inner


def _eroded(mask: Mask, distance_px: int) -> Mask:
    """Keep what has only set pixels up to `distance_px` above and below; none are outside."""
    window = 2 * distance_px + 1
    padded = np.pad(mask, ((distance_px + 1, distance_px), (0, 0)))
    sums = np.cumsum(padded, axis=0, dtype=np.int32)
    return np.asarray(sums[window:] - sums[:-window] == window)


class BoundaryCounts:
    """Counts boundary pixels by class.

    Parameters
    ----------
    classes : int
        Labels are 0 to `classes` - 1.
    share : float
        Of the diagonal.
    """

    def __init__(self, classes: int, share: float = SHARE_OF_DIAGONAL) -> None:
        self._share = share
        self._shared = np.zeros(classes, np.int64)
        self._either = np.zeros(classes, np.int64)

    def add(self, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> None:
        """Count one map.

        Parameters
        ----------
        truth, predicted : integer arrays [H, W]
            Pixels whose truth is `IGNORED` do not count, and make no outline of a prediction.

        Raises
        ------
        InvalidInput
            When shapes differ.
        """
        if truth.shape != predicted.shape:
            raise InvalidInput(f"truth is {truth.shape}, prediction is {predicted.shape}")
        known = truth != IGNORED
        guess = np.where(known, predicted, IGNORED)
        distance_px = boundary_width_px(truth.shape[0], truth.shape[1], self._share)
        present = np.union1d(truth[known], guess[known])
        for label in present[present < len(self._shared)]:
            one, other = (boundary(labels == label, distance_px) for labels in (truth, guess))
            self._shared[label] += np.count_nonzero(one & other)
            self._either[label] += np.count_nonzero(one | other)

    def iou(self) -> npt.NDArray[np.float64]:
        """Give the boundary IoU of each class [C]; NaN for classes that do not occur."""
        out = np.full(len(self._shared), np.nan)
        np.divide(self._shared, self._either, out=out, where=self._either > 0)
        return out

    def mean_iou(self) -> float:
        """Average over the classes that occur; 0 when none does."""
        values = self.iou()
        return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
