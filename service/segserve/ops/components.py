"""Connected components of masks, on their runs: small parts removed, holes filled."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.ops import rle
from segserve.ops.rle_sets import complement

_CONNECTIVITIES = (4, 8)

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """A mask's runs and the component that each belongs to.

    Parameters
    ----------
    runs : int64 [R, 3]
        Column, first row, end row (exclusive); in column order.
    labels : int64 [R]
        Components are numbered in the order of their first pixel in column order.
    areas_px : int64 [C]
    touches_border : bool [C]
        Whether a component has a pixel on the border of the image.
    """

    runs: Longs
    labels: Longs
    areas_px: Longs
    touches_border: npt.NDArray[np.bool_]


def _kernel() -> Any:
    from segserve.ops import rle_sets_kernel  # noqa: PLC0415  numba opens late

    return rle_sets_kernel


def find_components(mask: Rle, connectivity: int = 8) -> Components:
    """Find the connected parts of a mask.

    Parameters
    ----------
    mask : Rle
    connectivity : {4, 8}
        Whether pixels that share a corner alone are connected.

    Raises
    ------
    InvalidInput
        On another connectivity, or counts that are not COCO's.
    """
    if connectivity not in _CONNECTIVITIES:
        raise InvalidInput(f"connectivity must be 4 or 8, got {connectivity}")
    edges, _ = rle.to_edges((mask,))
    runs, _ = _kernel().column_runs(edges, mask.height_px)
    labels = _kernel().label_runs(runs, int(connectivity == _CONNECTIVITIES[1]))
    count = int(labels.max(initial=-1)) + 1
    lengths = runs[:, 2] - runs[:, 1]
    areas = np.bincount(labels, weights=lengths, minlength=count).astype(np.int64)
    at_side = (runs[:, 0] == 0) | (runs[:, 0] == mask.width_px - 1)
    at_end = (runs[:, 1] == 0) | (runs[:, 2] == mask.height_px)
    touches = np.bincount(labels, weights=at_side | at_end, minlength=count) > 0
    return Components(runs, labels, areas, touches)


def _keep(mask: Rle, found: Components, kept: npt.NDArray[np.bool_]) -> Rle:
    runs = np.ascontiguousarray(found.runs[kept[found.labels]])
    edges = _kernel().join_runs(runs, mask.height_px)
    return rle.edges_to_rles(edges, np.array([0, len(edges)]), mask.height_px, mask.width_px)[0]


def split_components(mask: Rle, connectivity: int = 8) -> tuple[Rle, ...]:
    """Give each connected part as a mask of its own, by first pixel in column order.

    Raises
    ------
    InvalidInput
        As `find_components`.
    """
    found = find_components(mask, connectivity)
    order = np.argsort(found.labels, kind="stable")
    bounds = np.cumsum([0, *np.bincount(found.labels, minlength=len(found.areas_px))])
    parts: list[Rle] = []
    for begin, end in pairwise(bounds):
        runs = np.ascontiguousarray(found.runs[order[begin:end]])
        edges = _kernel().join_runs(runs, mask.height_px)
        parts += rle.edges_to_rles(edges, np.array([0, len(edges)]), mask.height_px, mask.width_px)
    return tuple(parts)


def remove_small_components(mask: Rle, min_area_px: int, connectivity: int = 8) -> Rle:
    """Take away the connected parts of fewer than `min_area_px` pixels.

    Raises
    ------
    InvalidInput
        As `find_components`.
    """
    found = find_components(mask, connectivity)
    return _keep(mask, found, found.areas_px >= min_area_px)


def fill_holes(mask: Rle, max_area_px: int | None = None, connectivity: int = 8) -> Rle:
    """Set the parts of the background that the mask encloses.

    Parameters
    ----------
    mask : Rle
    max_area_px : int, optional
        Only holes of so many pixels at most; by default all.
    connectivity : {4, 8}
        Of the mask; its background is connected the other way, so that an outline is closed or
        open for both.

    Raises
    ------
    InvalidInput
        As `find_components`.
    """
    if connectivity not in _CONNECTIVITIES:
        raise InvalidInput(f"connectivity must be 4 or 8, got {connectivity}")
    background = complement(mask)
    found = find_components(background, sum(_CONNECTIVITIES) - connectivity)
    stays = found.touches_border
    if max_area_px is not None:
        stays = stays | (found.areas_px > max_area_px)
    return complement(_keep(background, found, stays))
