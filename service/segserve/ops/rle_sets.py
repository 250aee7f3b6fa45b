"""Sets of pixels as COCO RLE: union, intersection, difference and IoU without decoding.

The same numbers as cocodataset/cocoapi ``common/maskApi.c`` (rleMerge, rleIou); the cost is that of
the runs, not of the area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.ops import rle


def _kernel() -> Any:
    from segserve.ops import rle_sets_kernel  # noqa: PLC0415  numba opens late

    return rle_sets_kernel


def _size(masks: Sequence[Rle]) -> tuple[int, int]:
    sizes = {(mask.height_px, mask.width_px) for mask in masks}
    if len(sizes) != 1:
        raise InvalidInput(
            f"expected one mask or more of one size, got {len(masks)} masks of the sizes "
            f"{sorted(sizes)}"
        )
    return sizes.pop()


def _combine(masks: Sequence[Rle], least: int) -> Rle:
    size = _size(masks)
    edges, _ = rle.to_edges(masks)
    events = 2 * edges
    events[1::2] += 1  # ends sort after beginnings, so that runs that meet stay joined
    joined = _kernel().covered(np.sort(events), least)
    return rle.edges_to_rles(joined, np.array([0, len(joined)]), *size)[0]


def union(masks: Sequence[Rle]) -> Rle:
    """Give the pixels that any of the masks has.

    Raises
    ------
    InvalidInput
        On no mask, masks of different sizes, or counts that are not COCO's.
    """
    return _combine(masks, 1)


def intersection(masks: Sequence[Rle]) -> Rle:
    """Give the pixels that all of the masks have.

    Raises
    ------
    InvalidInput
        As `union`.
    """
    return _combine(masks, len(masks))


def complement(mask: Rle) -> Rle:
    """Give the pixels that the mask has not."""
    edges, _ = rle.to_edges((mask,))
    total = mask.height_px * mask.width_px
    turned = _kernel().complement(edges, total)
    return rle.edges_to_rles(turned, np.array([0, len(turned)]), mask.height_px, mask.width_px)[0]


def difference(mask: Rle, other: Rle) -> Rle:
    """Give the pixels of `mask` that `other` has not.

    Raises
    ------
    InvalidInput
        On masks of different sizes.
    """
    _size((mask, other))
    return intersection((mask, complement(other)))


def _areas(masks: Sequence[Rle]) -> npt.NDArray[np.int64]:
    counted: npt.NDArray[np.int64] = _kernel().areas_of_edges(*rle.to_edges(masks))
    return counted


def shared_areas(masks: Sequence[Rle], others: Sequence[Rle]) -> npt.NDArray[np.int64]:
    """Count the pixels that each of `masks` shares with each of `others`: int64 [N, M].

    Raises
    ------
    InvalidInput
        On masks of different sizes.
    """
    if not masks or not others:
        return np.zeros((len(masks), len(others)), dtype=np.int64)
    height, _ = _size((*masks, *others))
    shared: npt.NDArray[np.int64] = _kernel().shared_areas(
        *rle.to_edges(masks), *rle.to_edges(others), height
    )
    return shared


def iou(
    masks: Sequence[Rle], others: Sequence[Rle], crowd: Sequence[bool] | None = None
) -> npt.NDArray[np.float64]:
    """Give the intersection over union of each of `masks` with each of `others`.

    Parameters
    ----------
    masks, others : sequences of Rle
    crowd : sequence of bool, optional
        For each of `others`: whether to divide by the area of the mask instead, as COCO does for
        crowds.

    Returns
    -------
    iou : float64 [N, M]
        Zero where nothing is shared.

    Raises
    ------
    InvalidInput
        On masks of different sizes or a wrong number of flags.
    """
    if crowd is not None and len(crowd) != len(others):
        raise InvalidInput(
            f"expected a crowd flag for each of {len(others)} masks, got {len(crowd)}"
        )
    shared = shared_areas(masks, others)
    areas, other_areas = _areas(masks)[:, None], _areas(others)[None]
    flags = np.zeros(len(others), dtype=np.bool_) if crowd is None else np.array(crowd, np.bool_)
    unions = np.where(flags, areas, areas + other_areas - shared)
    return shared / np.maximum(unions, 1)
