"""COCO's three ways to write a mask, read as one: polygons, plain counts and compressed counts.

Polygons are filled as COCO's ``maskApi.c`` (``rleFrPoly``) fills them: the outline is drawn five
times finer, and the pixels where it crosses from one column into the next toggle the rest of the
column. An exact fill would differ along the edges, and so would the IoU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.ops.rle import encode

_FINER = 5.0
_POINT = 2
_LEAST_POINTS = 3


def read_segmentation(segmentation: object, height_px: int, width_px: int) -> Rle:
    """Read the ``segmentation`` of an annotation.

    Parameters
    ----------
    segmentation : list of polygons, or mapping with ``counts``
        A polygon is x, y, x, y, ... in pixels; counts are a list of run lengths or COCO's string.
    height_px, width_px : int
        Of the image.

    Raises
    ------
    InvalidInput
        When it is none of the three.
    """
    if isinstance(segmentation, Mapping):
        return _from_counts(segmentation, height_px, width_px)
    if isinstance(segmentation, Sequence) and not isinstance(segmentation, str | bytes):
        mask = np.zeros((height_px, width_px), bool)
        for polygon in segmentation:
            mask |= fill_polygon(np.asarray(polygon, np.float64), height_px, width_px)
        return encode(mask)
    raise InvalidInput(
        f"a segmentation is a {type(segmentation).__name__}, expected polygons or an RLE"
    )


def _from_counts(segmentation: Mapping[Any, Any], height_px: int, width_px: int) -> Rle:
    counts = segmentation.get("counts")
    if isinstance(counts, str | bytes):
        return Rle(
            height_px, width_px, counts.encode("ascii") if isinstance(counts, str) else counts
        )
    if not isinstance(counts, Sequence) or sum(counts) != height_px * width_px:
        raise InvalidInput(
            f"the counts of a {height_px}x{width_px} mask must be a list of run lengths that sum "
            f"to {height_px * width_px}, or COCO's string"
        )
    values = np.arange(len(counts)) % 2 == 1
    return encode(np.repeat(values, counts).reshape(width_px, height_px).T)


def fill_polygon(
    polygon: npt.NDArray[np.float64], height_px: int, width_px: int
) -> npt.NDArray[np.bool_]:
    """Fill one polygon as COCO does.

    Parameters
    ----------
    polygon : float64 [2 * P]
        x, y, x, y, ... in pixels; P is at least 3.
    height_px, width_px : int

    Returns
    -------
    bool [height_px, width_px]

    Raises
    ------
    InvalidInput
        When the polygon has an odd number of values, or fewer than three points.
    """
    if polygon.ndim != 1 or polygon.size % _POINT or polygon.size < _POINT * _LEAST_POINTS:
        raise InvalidInput(f"a polygon is x, y of at least 3 points, got shape {polygon.shape}")
    corners = np.trunc(_FINER * polygon.reshape(-1, _POINT) + 0.5).astype(np.int64)
    x, y = _outline(corners)
    moved = np.flatnonzero(x[1:] != x[:-1])
    # The fine columns that lie on the centre line of a pixel's column.
    across = (np.minimum(x[moved], x[moved + 1]) + 0.5) / _FINER - 0.5
    kept = (np.floor(across) == across) & (across >= 0) & (across <= width_px - 1)
    down = (np.minimum(y[moved], y[moved + 1])[kept] + 0.5) / _FINER - 0.5
    rows = np.ceil(np.clip(down, 0, height_px)).astype(np.int64)
    toggles = across[kept].astype(np.int64) * height_px + rows
    total = height_px * width_px
    odd = np.cumsum(np.bincount(toggles, minlength=total + 1)[:total]) % 2 == 1
    return np.asarray(odd.reshape(width_px, height_px).T)


def _outline(
    corners: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the points along the closed outline, a step of one on the longer axis each."""
    xs, ys = [], []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (dx, dy) = np.abs(end - start)
        long = 0 if dx >= dy else 1
        # COCO always interpolates from the lower end of the longer axis, which decides rounding.
        low, high = (end, start) if start[long] > end[long] else (start, end)
        steps = np.arange(max(dx, dy) + 1)
        slope = (high[1 - long] - low[1 - long]) / max(dx, dy, 1)
        line = np.empty((len(steps), _POINT), np.int64)
        line[:, long] = steps + low[long]
        line[:, 1 - long] = np.trunc(low[1 - long] + slope * steps + 0.5).astype(np.int64)
        line = line if low is start else line[::-1]
        xs.append(line[:, 0])
        ys.append(line[:, 1])
    return np.concatenate(xs), np.concatenate(ys)
