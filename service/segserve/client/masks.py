"""Masks between COCO RLE and numpy; pure numpy, no pycocotools.

The compressed string is that of COCO's ``maskApi.c`` (``rleToString``): run lengths over the
column-major mask, zeros first, from the fourth run on as the difference to the run two before,
each in 5-bit groups, low group first, 32 marking 'more follows', plus 48.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segserve.client.errors import unreadable
from segserve.core.regions import Rle

_FIRST_DELTA = 3
_MAX_GROUPS = 7
"""Groups of 5 bits in a run length below 2^34."""

AnyRle = Rle | Mapping[str, object]
"""An `Rle`, or COCO's ``{"size": [h, w], "counts": str or bytes}``."""

Mask = npt.NDArray[np.bool_]


def mask_to_rle(mask: npt.NDArray[np.generic]) -> Rle:
    """Encode a mask; non-zero is set.

    Parameters
    ----------
    mask : bool or any number [H, W]

    Raises
    ------
    SegserveError
        When the array does not have two axes.
    """
    if mask.ndim != 2:  # noqa: PLR2004  height and width
        raise unreadable(f"a mask has two axes [H, W], got shape {mask.shape}")
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size])))
    if flat.size and flat[0]:
        counts = np.concatenate(([0], counts))
    height_px, width_px = mask.shape
    return Rle(height_px, width_px, _pack(counts.astype(np.int64)))


def rle_to_mask(rle: AnyRle) -> Mask:
    """Decode one mask.

    Returns
    -------
    bool [H, W]
        A new array, column-major in memory as the runs are.

    Raises
    ------
    SegserveError
        When the counts are malformed or do not add up to H x W.
    """
    height_px, width_px, runs = _checked(rle)
    values = np.zeros(runs.size, bool)
    values[1::2] = True
    return np.repeat(values, runs).reshape(width_px, height_px).T


def rle_area(rle: AnyRle) -> int:
    """Count the set pixels without decoding the mask."""
    return int(_checked(rle)[2][1::2].sum())


def rle_box(rle: AnyRle) -> tuple[int, int, int, int]:
    """Give the tight box x1, y1, x2, y2 in pixels, x2 and y2 exclusive; zeros for an empty mask."""
    height_px, _, runs = _checked(rle)
    ends = np.cumsum(runs)[1::2]
    starts = ends - runs[1::2]
    kept = ends > starts
    starts, last = starts[kept], ends[kept] - 1
    if not starts.size:
        return 0, 0, 0, 0
    wraps = bool((starts // height_px != last // height_px).any())
    top = 0 if wraps else int((starts % height_px).min())
    bottom = height_px - 1 if wraps else int((last % height_px).max())
    return int(starts[0] // height_px), top, int(last[-1] // height_px) + 1, bottom + 1


def label_map_from_rles(
    rles: Iterable[AnyRle], ids: Sequence[int], shape: tuple[int, int], *, fill: int | None = None
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Paint masks into one map, later ones over earlier ones.

    Parameters
    ----------
    rles : iterable of RLE, each of size `shape`
    ids : sequence of int in [0, 65534]
        The value of each mask's pixels.
    shape : (H, W)
    fill : int, optional
        The value of pixels in no mask; default 255, or 65535 when an id is 255 or more.

    Returns
    -------
    uint8 [H, W]
        uint16 when a value is above 255.

    Raises
    ------
    SegserveError
        When a mask has another size or an id does not fit.
    """
    top = max(ids, default=0)
    rest = (
        (np.iinfo(np.uint8).max if top < np.iinfo(np.uint8).max else 65535)
        if fill is None
        else fill
    )
    highest = max(top, rest)
    if min(ids, default=0) < 0 or rest < 0 or highest > np.iinfo(np.uint16).max:
        raise unreadable(f"ids and fill must lie in 0 to 65535, got {min(ids)} to {highest}")
    dtype = np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16
    painted = np.full((shape[1], shape[0]), rest, dtype).T
    for rle, value in zip(rles, ids, strict=True):
        mask = rle_to_mask(rle)
        if mask.shape != shape:
            raise unreadable(f"a mask is {mask.shape} (H, W), the map is {shape}")
        painted[mask] = value
    return np.ascontiguousarray(painted)


def _checked(rle: AnyRle) -> tuple[int, int, npt.NDArray[np.int64]]:
    height_px, width_px, counts = _parts(rle)
    runs = _unpack(counts)
    if (runs < 0).any() or int(runs.sum()) != height_px * width_px:
        total = int(runs.sum())
        raise unreadable(
            f"RLE counts cover {total} pixels, its size {height_px} x {width_px} (H x W) has "
            f"{height_px * width_px}"
        )
    return height_px, width_px, runs


def _parts(rle: AnyRle) -> tuple[int, int, bytes]:
    if isinstance(rle, Rle):
        return rle.height_px, rle.width_px, rle.counts
    size, counts = rle.get("size"), rle.get("counts")
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    if not isinstance(counts, bytes) or not isinstance(size, Sequence):
        raise unreadable('an RLE is {"size": [h, w], "counts": compressed string}')
    height_px, width_px = size
    return int(height_px), int(width_px), counts


def _unpack(text: bytes) -> npt.NDArray[np.int64]:
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not groups.size:
        return np.zeros(0, np.int64)
    last = np.flatnonzero((groups & 0x20) == 0)
    if (groups < 0).any() or (groups > 0x3F).any() or not last.size or last[-1] != groups.size - 1:  # noqa: PLR2004  six bits
        raise unreadable("RLE counts are not COCO's compressed string")
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if int(lengths.max()) > _MAX_GROUPS:
        raise unreadable("an RLE run is longer than 2^34 pixels")
    place = 5 * (np.arange(groups.size) - np.repeat(first, lengths))
    deltas = np.add.reduceat((groups & 0x1F) << place, first)
    deltas -= np.where(groups[last] & 0x10, np.int64(1) << (5 * lengths), 0)
    deltas[1::2] = np.cumsum(deltas[1::2])
    deltas[2::2] = np.cumsum(deltas[2::2])
    return deltas


def _pack(counts: npt.NDArray[np.int64]) -> bytes:
    rest = counts.copy()
    rest[_FIRST_DELTA:] -= counts[_FIRST_DELTA - 2 : -2]
    groups = np.zeros((counts.size, _MAX_GROUPS), np.uint8)
    used = np.zeros((counts.size, _MAX_GROUPS), bool)
    more = np.ones(counts.size, bool)
    for place in range(_MAX_GROUPS):
        low = rest & 0x1F
        rest >>= 5
        used[:, place] = more
        more &= np.where(low & 0x10, rest != -1, rest != 0)
        groups[:, place] = low + 0x20 * more + 48
    return groups[used].tobytes()
