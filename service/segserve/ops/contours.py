"""Outlines of masks as polygons, and polygons with fewer corners.

The points are those of OpenCV's ``findContours`` with ``RETR_CCOMP`` and ``CHAIN_APPROX_SIMPLE``:
centres of the mask's own border pixels, so that an outline encloses half a pixel less than the
mask on each side, and ``fill_polygons_to_rle`` of an outer outline gives the mask back (holes
filled).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import rle

Longs = npt.NDArray[np.int64]
_FEWEST = 3


@dataclass(frozen=True)
class Contour:
    """One closed outline.

    Parameters
    ----------
    points : int64 [P, 2]
        x, y of pixels; the last is joined to the first. Outer outlines run counter-clockwise on
        the screen, holes clockwise.
    is_hole : bool
        Whether it goes around a part of the background (along the mask's pixels beside it).
    """

    points: Longs
    is_hole: bool


def _kernel() -> Any:
    from segserve.ops import contours_kernel  # noqa: PLC0415  numba opens late

    return contours_kernel


def rle_to_contours(mask: Rle, *, tolerance_px: float = 0.0) -> tuple[Contour, ...]:
    """Follow the outlines of a mask.

    Parameters
    ----------
    mask : Rle
    tolerance_px : float
        How far a border pixel may lie from its outline: 0 drops only points on straight lines,
        more simplifies after Douglas and Peucker.

    Returns
    -------
    contours : tuple of Contour
        By their first pixel, row by row; a hole comes after its outer outline.

    Raises
    ------
    InvalidInput
        On counts that are not COCO's or a negative tolerance.
    """
    if not tolerance_px >= 0:
        raise InvalidInput(f"a tolerance must be 0 pixels or more, got {tolerance_px}")
    box = rle.to_bbox(mask)
    if box[0] == box[2]:
        return ()
    edges, _ = rle.to_edges((mask,))
    points, splits, holes = _kernel().find_borders(edges, mask.height_px, box)
    found = []
    for (begin, end), is_hole in zip(pairwise(splits.tolist()), holes.tolist(), strict=True):
        chain = points[begin:end]
        corners = chain[_kernel().turns(chain)] if len(chain) > 1 else chain
        found.append(Contour(simplify(corners, tolerance_px), is_hole))
    return tuple(found)


def simplify(points: Array, tolerance_px: float) -> Longs:
    """Leave out corners of a closed polygon while every corner stays near it.

    Douglas and Peucker, 1973, on the two halves between the first corner and the one farthest from
    it.

    Parameters
    ----------
    points : integer [P, 2]
    tolerance_px : float
        Largest distance of a corner that is left out from the side that replaces it; 0 leaves all
        in.

    Returns
    -------
    points : int64 [Q, 2]
        A part of `points`, in their order.

    Raises
    ------
    InvalidInput
        On another shape or dtype.
    """
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "iu":  # noqa: PLR2004  x, y
        raise InvalidInput(
            f"expected integer points [P, 2], got {points.dtype} {list(points.shape)}"
        )
    chain = np.ascontiguousarray(points, dtype=np.int64)
    if tolerance_px == 0 or len(chain) <= _FEWEST:
        return chain
    away = int(((chain - chain[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([chain, chain[:1]]).astype(np.float64)
    there = _kernel().keep_far(closed[: away + 1], float(tolerance_px))
    back = _kernel().keep_far(np.ascontiguousarray(closed[away:]), float(tolerance_px))
    kept: Longs = chain[np.concatenate([there[:-1], back[:-1]])]
    return kept
