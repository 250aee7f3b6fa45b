"""Masks as bits of their own box: what a graphics card or a numpy user unpacks in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.ops import rle

_BITS = 8


@dataclass(frozen=True)
class BitMask:
    """One mask, cut to its tight box, a bit for each pixel.

    Parameters
    ----------
    height_px, width_px : int
        Size of the whole mask.
    box : (x1, y1, x2, y2)
        In pixels, x2 and y2 exclusive; zeros when nothing is set.
    bits : bytes
        Row by row, every row begun on a new byte, the leftmost pixel in the highest bit:
        ``numpy.unpackbits(..., axis=1)`` of uint8 [y2 - y1, ceil((x2 - x1) / 8)].
    """

    height_px: int
    width_px: int
    box: tuple[int, int, int, int]
    bits: bytes


def _kernel() -> Any:
    from segserve.ops import rle_sets_kernel  # noqa: PLC0415  numba opens late

    return rle_sets_kernel


def rles_to_bit_masks(masks: Sequence[Rle]) -> tuple[BitMask, ...]:
    """Unpack masks into the bits of their boxes.

    Raises
    ------
    InvalidInput, TooLarge
        On counts that are not COCO's, or masks of more pixels than `rle.MAX_PIXELS`.
    """
    edges, splits = rle.to_edges(masks)
    found = []
    for mask, begin, end in zip(masks, splits[:-1], splits[1:], strict=True):
        box = rle.to_bbox(mask)
        canvas = _kernel().crop_of_edges(edges[begin:end], mask.height_px, box)
        bits = np.packbits(canvas, axis=1).tobytes()
        found.append(BitMask(mask.height_px, mask.width_px, box, bits))
    return tuple(found)


def bit_mask_to_bitmap(mask: BitMask) -> npt.NDArray[np.bool_]:
    """Give the pixels of the box: bool [y2 - y1, x2 - x1].

    Raises
    ------
    InvalidInput
        When the box does not lie in the mask, or the bits do not fill it.
    """
    x1, y1, x2, y2 = mask.box
    if not (0 <= x1 <= x2 <= mask.width_px and 0 <= y1 <= y2 <= mask.height_px):
        raise InvalidInput(
            f"a box must lie in its mask of {mask.height_px}x{mask.width_px}, got {mask.box}"
        )
    width_bytes = -(-(x2 - x1) // _BITS)
    expected = (y2 - y1) * width_bytes
    if len(mask.bits) != expected:
        raise InvalidInput(f"the box {mask.box} takes {expected} bytes, got {len(mask.bits)}")
    packed = np.frombuffer(mask.bits, dtype=np.uint8).reshape(y2 - y1, width_bytes)
    return np.unpackbits(packed, axis=1, count=x2 - x1).astype(np.bool_)


def bit_mask_to_rle(mask: BitMask) -> Rle:
    """Encode a mask that is given as bits of its box, which need not be tight.

    Raises
    ------
    InvalidInput
        As `bit_mask_to_bitmap`.
    """
    bitmap = bit_mask_to_bitmap(mask)
    edges, _ = rle.to_edges((rle.encode(bitmap),))
    runs, _ = _kernel().column_runs(edges, max(len(bitmap), 1))
    runs += np.array([mask.box[0], mask.box[1], mask.box[1]])
    edges = _kernel().join_runs(runs, mask.height_px)
    return rle.edges_to_rles(edges, np.array([0, len(edges)]), mask.height_px, mask.width_px)[0]
