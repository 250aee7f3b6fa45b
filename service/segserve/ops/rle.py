"""COCO run-length encoding: masks and whole label maps, byte for byte as pycocotools writes them.

Source of the format: cocodataset/cocoapi ``common/maskApi.c`` (rleEncode, rleToString,
rleFrString, rleArea, rleToBbox); equality is tested against pycocotools 2.0.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput, TooLarge
from segserve.core.regions import Rle
from segserve.core.tensor import Array

MAX_PIXELS = 1 << 28
_RANK = 2


@dataclass(frozen=True)
class LabelRuns:
    """The runs of a label map in column order, from which any of its labels is encoded.

    Parameters
    ----------
    height_px, width_px : int
    starts : int64 [R]
        Column-major positions where a run of one value begins.
    values : uint8 or uint16 [R]
    areas : int64 [V]
        Pixels of each value that the dtype can hold (V is 256 or 65536).
    runs : int64 [V]
        Runs of each value.
    """

    height_px: int
    width_px: int
    starts: npt.NDArray[np.int64]
    values: Array
    areas: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]


def _kernel() -> Any:
    from segserve.ops import rle_kernel  # noqa: PLC0415  numba opens late

    return rle_kernel


def _runs_kernel() -> Any:
    from segserve.ops import runs_kernel  # noqa: PLC0415  numba opens late

    return runs_kernel


def _sets_kernel() -> Any:
    from segserve.ops import rle_sets_kernel  # noqa: PLC0415  numba opens late

    return rle_sets_kernel


def find_runs(labels: Array) -> LabelRuns:
    """Sweep over a label map once; `encode_labels` then costs only what the runs cost.

    Parameters
    ----------
    labels : uint8 or uint16 [H, W]
        Any strides; C-contiguous maps are not copied.

    Raises
    ------
    InvalidInput
        On another dtype or rank.
    """
    if labels.ndim != _RANK or labels.dtype not in (np.uint8, np.uint16):
        raise InvalidInput(
            f"a label map must be uint8 or uint16 [H, W], got {labels.dtype} {list(labels.shape)}"
        )
    height, width = labels.shape
    size = 256 if labels.dtype == np.uint8 else 65536
    if labels.size == 0:
        none = np.zeros(0, dtype=np.int64)
        zeros = np.zeros(size, dtype=np.int64)
        return LabelRuns(height, width, none, none.astype(labels.dtype), zeros, zeros)
    kernel = _runs_kernel()
    starts, values = kernel.find_runs(np.ascontiguousarray(labels))
    areas, runs = kernel.areas_of_runs(starts, values, labels.size, size)
    return LabelRuns(height, width, starts, values, areas, runs)


def encode_labels(found: LabelRuns, ids: Sequence[int]) -> tuple[Rle, ...]:
    """Encode some labels of a swept map, one mask per id, in the order of `ids`.

    Raises
    ------
    InvalidInput
        On an id the map's dtype cannot hold, or one given twice.
    """
    size = len(found.areas)
    wrong = [i for i in ids if not 0 <= i < size]
    if wrong or len(set(ids)) != len(ids):
        raise InvalidInput(f"label ids must be distinct and in [0, {size}), got {list(ids)}")
    if not ids:
        return ()
    kernel = _kernel()
    rows = np.asarray(ids, dtype=np.int64)
    slots = np.full(size, -1, dtype=np.int64)
    slots[rows] = np.arange(len(rows))
    total = found.height_px * found.width_px
    columns = kernel.label_counts(found.starts, found.values, total, slots, found.runs[rows])
    text, bounds = kernel.compress(*columns)
    chars: bytes = text.tobytes()
    return tuple(
        Rle(found.height_px, found.width_px, chars[bounds[r] : bounds[r + 1]])
        for r in range(len(rows))
    )


def label_map_to_rles(labels: Array, ids: Sequence[int]) -> tuple[Rle, ...]:
    """Encode every id of a label map in one sweep: one mask per id, in the order of `ids`.

    Parameters
    ----------
    labels : uint8 or uint16 [H, W]
    ids : sequence of int
        Distinct; an id that the map does not hold gives an empty mask.

    Raises
    ------
    InvalidInput
        On a wrong dtype, rank or id.
    """
    return encode_labels(find_runs(labels), ids)


def edges_to_rles(
    edges: npt.NDArray[np.int64], splits: npt.NDArray[np.int64], height: int, width: int
) -> tuple[Rle, ...]:
    """Encode masks whose runs are known by where they begin and end.

    Parameters
    ----------
    edges : int64 [...]
        Column-major positions, rising within a mask and at most H * W: beginnings and ends in
        turn. Trusted: what kernels and `mask_edges` give.
    splits : int64 [N + 1]
        Mask n's are ``edges[splits[n]:splits[n + 1]]``.
    height, width : int
        Of every mask.

    Returns
    -------
    rles : tuple of Rle, length N
    """
    text, bounds = _kernel().compress_edges(edges, splits, height * width)
    chars: bytes = text.tobytes()
    at: list[int] = bounds.tolist()
    return tuple(Rle(height, width, chars[begin:end]) for begin, end in pairwise(at))


def encode(mask: Array) -> Rle:
    """Encode one mask; what is not zero is set.

    Parameters
    ----------
    mask : bool or integer [H, W]

    Raises
    ------
    InvalidInput
        On a float mask (its threshold is the caller's to choose) or another rank.
    """
    if mask.ndim != _RANK or mask.dtype.kind not in "bui":
        raise InvalidInput(
            f"a mask must be bool or integer [H, W], got {mask.dtype} {list(mask.shape)}"
        )
    return label_map_to_rles((mask != 0).view(np.uint8), (1,))[0]


def decode_counts(rle: Rle, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.int64]:
    """Give the plain counts: runs of unset and set pixels in turn, column-major.

    Raises
    ------
    InvalidInput
        When the characters are not COCO's, a count is negative, or they do not sum to H * W.
    TooLarge
        When H * W is over `max_pixels`.
    """
    _check_size(rle, max_pixels)
    total = rle.height_px * rle.width_px
    kernel = _kernel()
    text = np.frombuffer(rle.counts, dtype=np.uint8)
    counts = np.empty(len(text), dtype=np.int64)
    parsed, covered = kernel.expand(text, total, counts)
    reasons = {
        kernel.BAD_CHARACTER: "a character outside '0'..'o'",
        kernel.BAD_NUMBER: f"a run that is negative or ends after pixel {total}",
        kernel.CUT_OFF: "a last number that does not end",
    }
    if parsed < 0 or covered != total:
        got = reasons.get(parsed, f"runs that sum to {covered}")
        raise InvalidInput(f"RLE counts of a {_size(rle)} mask must sum to {total}, got {got}")
    return counts[:parsed]


def _check_size(rle: Rle, max_pixels: int) -> None:
    if rle.height_px < 0 or rle.width_px < 0:
        raise InvalidInput(f"an RLE's size cannot be negative, got {_size(rle)}")
    if rle.height_px * rle.width_px > max_pixels:
        raise TooLarge(f"an RLE may cover {max_pixels} pixels at most, got {_size(rle)}")


def _size(rle: Rle) -> str:
    return f"{rle.height_px}x{rle.width_px}"


def decode(rle: Rle, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Give the mask as uint8 [H, W] of 0 and 1, Fortran-ordered as pycocotools gives it.

    Raises
    ------
    InvalidInput, TooLarge
        As `decode_counts`.
    """
    counts = decode_counts(rle, max_pixels=max_pixels)
    mask = np.zeros(rle.height_px * rle.width_px, dtype=np.uint8)
    _kernel().fill_mask(counts, mask)
    return mask.reshape(rle.width_px, rle.height_px).T


def to_edges(masks: Sequence[Rle]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give where the runs of set pixels begin and end: what `edges_to_rles` takes.

    Returns
    -------
    edges : int64 [...]
    splits : int64 [N + 1]

    Raises
    ------
    InvalidInput, TooLarge
        As `decode_counts`.
    """
    for mask in masks:
        _check_size(mask, MAX_PIXELS)
    text = np.frombuffer(b"".join([mask.counts for mask in masks]), dtype=np.uint8)
    bounds = np.cumsum([0, *[len(mask.counts) for mask in masks]], dtype=np.int64)
    totals = np.array([mask.height_px * mask.width_px for mask in masks], dtype=np.int64)
    edges, splits, wrong = _kernel().expand_edges(text, bounds, totals)
    if wrong >= 0:
        decode_counts(masks[wrong])  # which raises, and says why
    return edges, splits


def area(rle: Rle) -> int:
    """Count the set pixels.

    Raises
    ------
    InvalidInput, TooLarge
        As `decode_counts`.
    """
    return int(decode_counts(rle)[1::2].sum())


def to_bbox(rle: Rle) -> tuple[int, int, int, int]:
    """Give the tight box of the set pixels: x1, y1, x2, y2, the last two exclusive.

    Zeros when nothing is set. pycocotools' ``toBbox`` gives x, y, width and height of the same.

    Raises
    ------
    InvalidInput, TooLarge
        As `decode_counts`.
    """
    edges, splits = to_edges((rle,))
    heights = np.array([rle.height_px], dtype=np.int64)
    x1, y1, x2, y2 = _sets_kernel().boxes_of_edges(edges, splits, heights)[0].tolist()
    return x1, y1, x2, y2
