"""Bits of boxes: known answers, there and back, and what does not fit."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.bit_masks import (
    BitMask,
    bit_mask_to_bitmap,
    bit_mask_to_rle,
    rles_to_bit_masks,
)


def test_known_answer() -> None:
    mask = np.zeros((5, 20), np.uint8)
    mask[1, 3] = mask[1, 12] = mask[2, 5] = 1
    (got,) = rles_to_bit_masks((rle.encode(mask),))
    assert got == BitMask(5, 20, (3, 1, 13, 3), bytes([0b10000000, 0b01000000, 0b00100000, 0]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (9, 33), (64, 64)])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_there_and_back(shape: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(0)
    bitmaps = [rng.random(shape) < share for _ in range(4)]
    masks = tuple(rle.encode(bitmap) for bitmap in bitmaps)
    for bitmap, mask, bits in zip(bitmaps, masks, rles_to_bit_masks(masks), strict=True):
        x1, y1, x2, y2 = bits.box
        np.testing.assert_array_equal(bit_mask_to_bitmap(bits), bitmap[y1:y2, x1:x2])
        assert bit_mask_to_rle(bits) == mask


def test_a_box_need_not_be_tight() -> None:
    mask = np.zeros((6, 7), np.uint8)
    mask[2:4, 1:3] = 1
    loose = BitMask(6, 7, (0, 0, 7, 6), np.packbits(mask, axis=1).tobytes())
    assert bit_mask_to_rle(loose) == rle.encode(mask)


def test_none() -> None:
    assert rles_to_bit_masks(()) == ()


@pytest.mark.parametrize(
    ("box", "length", "names"),
    [
        ((0, 0, 9, 2), 4, "lie in its mask"),
        ((2, 0, 1, 2), 0, "lie in"),
        ((0, 0, 8, 2), 3, "2 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(box, length: int, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        bit_mask_to_bitmap(BitMask(4, 8, box, bytes(length)))
