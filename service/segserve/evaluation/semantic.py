"""Metrics of label maps, from one confusion matrix.

Definitions, after Long et al. 2015, section 5, with n_ij the pixels of class i predicted as j:
pixel accuracy = sum_i n_ii / sum_ij n_ij; mean pixel accuracy = mean_i n_ii / sum_j n_ij;
IoU_i = n_ii / (sum_j n_ij + sum_j n_ji - n_ii). Precision, recall and F1 per class come from the
same counts; Dice equals F1 for label maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput

IGNORED = 255


@dataclass(frozen=True)
class SemanticScores:
    """Metrics in [0, 1]; NaN for a class that is neither there nor predicted.

    Parameters
    ----------
    pixel_accuracy, mean_pixel_accuracy, mean_iou : float
        Means are over the classes that occur in truth or prediction.
    iou, precision, recall, f1 : float64 [C]
    """

    pixel_accuracy: float
    mean_pixel_accuracy: float
    mean_iou: float
    iou: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """Dice per class [C]: 2 TP / (2 TP + FP + FN), which is F1."""
        return self.f1


class ConfusionMatrix:
    """Counts pixels by true and predicted label.

    Parameters
    ----------
    classes : int
        Labels are 0 to `classes` - 1.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> None:
        """Count one map.

        Parameters
        ----------
        truth, predicted : integer arrays of one shape
            Pixels whose truth is `IGNORED` do not count.

        Raises
        ------
        InvalidInput
            When shapes differ or a label is out of range.
        """
        if truth.shape != predicted.shape:
            raise InvalidInput(f"truth is {truth.shape}, prediction is {predicted.shape}")
        classes = len(self.counts)
        known = truth != IGNORED
        rows, columns = truth[known].astype(np.int64), predicted[known].astype(np.int64)
        for name, labels in (("truth", rows), ("prediction", columns)):
            if labels.size and not 0 <= labels.min() <= labels.max() < classes:
                raise InvalidInput(
                    f"{name} holds labels {labels.min()} to {labels.max()}, expected 0 to "
                    f"{classes - 1}"
                )
        flat = np.bincount(rows * classes + columns, minlength=classes * classes)
        self.counts += flat.reshape(classes, classes)

    def scores(self) -> SemanticScores:
        """Give the metrics of everything counted so far."""
        hits = np.diag(self.counts).astype(np.float64)
        true, found = self.counts.sum(1), self.counts.sum(0)
        recall, precision = _ratio(hits, true), _ratio(hits, found)
        iou = _ratio(hits, true + found - hits)
        return SemanticScores(
            pixel_accuracy=float(hits.sum() / max(1, self.counts.sum())),
            mean_pixel_accuracy=_mean(recall),
            mean_iou=_mean(iou),
            iou=iou,
            precision=precision,
            recall=recall,
            f1=_ratio(2 * hits, true + found),
        )


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
