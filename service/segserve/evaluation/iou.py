"""Overlaps of every detection with every truth, as pycocotools computes them.

Of a crowd, a detection need only lie inside: the intersection is divided by the detection's own
area instead of the union (``maskApi.c``, ``bbIou`` and ``rleIou``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segserve.core.regions import Rle
from segserve.ops.rle import decode_counts

Floats = npt.NDArray[np.float64]


def box_ious(detected: Floats, truth: Floats, is_crowd: npt.NDArray[np.bool_]) -> Floats:
    """Give the overlap of boxes.

    Parameters
    ----------
    detected : float64 [D, 4]
    truth : float64 [G, 4]
        x, y, width, height in pixels.
    is_crowd : bool [G]

    Returns
    -------
    float64 [D, G]
        In [0, 1].
    """
    low = np.maximum(detected[:, None, :2], truth[None, :, :2])
    ends = [boxes[:, :2] + boxes[:, 2:] for boxes in (detected, truth)]
    sides = np.maximum(np.minimum(ends[0][:, None], ends[1][None]) - low, 0.0)
    shared = sides[..., 0] * sides[..., 1]
    areas = [boxes[:, 2] * boxes[:, 3] for boxes in (detected, truth)]
    return _over(shared, areas[0], areas[1], is_crowd)


def mask_ious(
    detected: Sequence[Rle], truth: Sequence[Rle], is_crowd: npt.NDArray[np.bool_]
) -> Floats:
    """Give the overlap of masks of one image; parameters and result as `box_ious`."""
    counts = [decode_counts(rle) for rle in detected]
    ends = [np.cumsum(c) for c in counts]
    shared = np.zeros((len(detected), len(truth)))
    areas = [np.array([float(c[1::2].sum()) for c in counts]), np.zeros(len(truth))]
    for column, rle in enumerate(truth):
        runs = decode_counts(rle)
        covered = np.concatenate(([0], np.cumsum(np.repeat(np.arange(len(runs)) % 2, runs))))
        areas[1][column] = covered[-1]
        for row, end in enumerate(ends):
            stops = end[1::2]
            starts = end[: 2 * len(stops) : 2]
            shared[row, column] = (covered[stops] - covered[starts]).sum()
    return _over(shared, areas[0], areas[1], is_crowd)


def _over(
    shared: Floats, detected: Floats, truth: Floats, is_crowd: npt.NDArray[np.bool_]
) -> Floats:
    union = detected[:, None] + np.where(is_crowd, 0.0, truth)[None] - np.where(is_crowd, 0, shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
