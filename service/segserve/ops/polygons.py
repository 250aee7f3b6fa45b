"""Polygons to masks: PolarMask's contours, and COCO's annotations.

Sources of the semantics: OpenCV 5.0's ``drawContours(thickness=FILLED)`` (the outline itself is
part of the mask, inside is what an odd number of edges encloses), and cocodataset/cocoapi
``common/maskApi.c`` (rleFrPoly: outlines on a grid five times as fine, pixel centres decide).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import rle

_RANK = 3
_FARTHEST_PX = 1 << 24
_FINENESS = 5
_TRIANGLE = 3


def _kernel() -> Any:
    from segserve.ops import polygons_kernel  # noqa: PLC0415  numba opens late

    return polygons_kernel


def fill_polygons_to_rle(contours: Array, height: int, width: int) -> tuple[Rle, ...]:
    """Fill one polygon per mask and encode it.

    Parameters
    ----------
    contours : integer [N, P, 2]
        x, y of the corners in pixels, P at least 1; parts outside of the image are cut off.
        Corners farther than 2**24 pixels are moved there.
    height, width : int
        Of the image, at least 1.

    Returns
    -------
    rles : tuple of Rle, length N

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    if (
        contours.ndim != _RANK
        or contours.shape[2] != 2  # noqa: PLR2004  x and y
        or contours.shape[1] == 0
        or contours.dtype.kind not in "iu"
        or min(height, width) < 1
    ):
        raise InvalidInput(
            f"expected integer contours [N, P, 2] and an image of 1x1 at least, got "
            f"{contours.dtype} {list(contours.shape)} and {height}x{width}"
        )
    near = np.clip(contours.astype(np.int64), -_FARTHEST_PX, _FARTHEST_PX)
    edges, splits = _kernel().fill(np.ascontiguousarray(near), height, width)
    return rle.edges_to_rles(edges, splits, height, width)


def coco_polygon_to_rle(points: Array, height: int, width: int) -> Rle:
    """Fill one of COCO's polygons, byte for byte as pycocotools does.

    Parameters
    ----------
    points : float [P, 2]
        x, y of the corners in pixels, P at least 3; finite.
    height, width : int
        Of the image, at least 1.

    Raises
    ------
    InvalidInput
        On wrong shapes, dtypes or values.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < _TRIANGLE:  # noqa: PLR2004  x, y
        raise InvalidInput(
            f"expected points [P, 2] of 3 corners at least, got {list(points.shape)}"
        )
    if not (np.abs(points) < _FARTHEST_PX).all() or min(height, width) < 1:
        raise InvalidInput(
            f"expected corners within {_FARTHEST_PX} pixels and an image of 1x1 at least, got an "
            f"image of {height}x{width}"
        )
    u, v = _fine_outline(points.astype(np.float64))
    moved = np.flatnonzero(u[1:] != u[:-1]) + 1
    x = (np.where(u[moved] < u[moved - 1], u[moved], u[moved] - 1) + 0.5) / _FINENESS - 0.5
    y = (np.minimum(v[moved], v[moved - 1]) + 0.5) / _FINENESS - 0.5
    crossed = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    places = x[crossed] * height + np.ceil(np.clip(y[crossed], 0, height))
    edges, times = np.unique(places.astype(np.int64), return_counts=True)
    edges = edges[times % 2 == 1]
    return rle.edges_to_rles(edges, np.array([0, len(edges)]), height, width)[0]


def _fine_outline(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Give the points of the outline on the fine grid, x and y, corners twice."""
    corners = (points * _FINENESS + 0.5).astype(np.int64)
    us, vs = [], []
    for begin, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = int(abs(end[1] - begin[1]) > abs(end[0] - begin[0]))
        low, high = (begin, end) if begin[along] <= end[along] else (end, begin)
        steps = np.arange(high[along] - low[along] + 1)
        slope = (high[1 - along] - low[1 - along]) / max(len(steps) - 1, 1)
        line = np.empty((2, len(steps)), dtype=np.int64)
        line[along] = steps + low[along]
        line[1 - along] = (low[1 - along] + slope * steps + 0.5).astype(np.int64)
        if begin[along] > end[along]:
            line = line[:, ::-1]
        us.append(line[0])
        vs.append(line[1])
    return np.concatenate(us), np.concatenate(vs)
