"""Masks to COCO RLE and back, against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco

from segserve.client.errors import SegserveError
from segserve.client.masks import label_map_from_rles, mask_to_rle, rle_area, rle_box, rle_to_mask
from segserve.core.errors import ErrorKind
from segserve.core.regions import Rle


def some_masks():
    rng = np.random.default_rng(7)
    yield np.zeros((3, 4), bool)
    yield np.ones((3, 4), bool)
    yield np.ones((1, 1), bool)
    yield np.eye(5, dtype=bool)
    for _ in range(30):
        height, width = rng.integers(1, 60, 2)
        yield rng.random((height, width)) < rng.random()
    blob = np.zeros((700, 900), bool)
    blob[50:400, 100:850] = True
    yield blob


@pytest.mark.parametrize("mask", list(some_masks()), ids=lambda m: "x".join(map(str, m.shape)))
def test_agrees_with_pycocotools(mask):
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = mask_to_rle(mask)
    assert ours == Rle(*mask.shape, theirs["counts"])
    assert np.array_equal(rle_to_mask(ours), mask)
    assert rle_area(ours) == coco.area(theirs)
    x, y, width, height = coco.toBbox(theirs)
    if mask.any():
        assert rle_box(ours) == (x, y, x + width, y + height)
    else:
        assert rle_box(ours) == (0, 0, 0, 0)


def test_long_runs_and_big_jumps_survive():
    mask = np.zeros((4000, 5000), bool)
    mask[0, 0] = mask[3999, 4999] = mask[1, 0] = mask[77, 3000] = True
    rle = mask_to_rle(mask)
    assert rle.counts == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert np.array_equal(rle_to_mask(rle), mask)


def test_takes_the_dictionary_of_a_coco_file():
    mask = np.eye(4, dtype=bool)
    assert np.array_equal(rle_to_mask(mask_to_rle(mask).to_coco()), mask)


def test_any_number_and_any_memory_order_is_a_mask():
    mask = np.arange(24).reshape(4, 6)[:, ::2] % 5
    assert np.array_equal(rle_to_mask(mask_to_rle(mask)), mask != 0)


@pytest.mark.parametrize(
    "rle",
    [
        Rle(2, 2, b"5"),
        Rle(2, 2, b"3"),
        Rle(2, 2, b"\xff"),
        Rle(2, 2, b"P"),
        Rle(2, 2, b"PPPPPPPP0"),
        Rle(2, 2, b""),
        Rle(2, 2, b"O5"),
        {"size": [2, 2], "counts": [4]},
        {"counts": "4"},
        {"size": [2, 2], "counts": "é4"},
    ],
)
def test_malformed_runs_are_refused(rle):
    with pytest.raises(SegserveError) as caught:
        rle_to_mask(rle)
    assert caught.value.kind is ErrorKind.INVALID_ARGUMENT


def test_a_mask_has_two_axes():
    with pytest.raises(SegserveError, match="two axes"):
        mask_to_rle(np.zeros((1, 2, 2), bool))


def test_label_map_is_painted_in_order():
    first, second = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    first[:2] = True
    second[1:, 1:] = True
    painted = label_map_from_rles([mask_to_rle(first), mask_to_rle(second)], [7, 9], (3, 4))
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[7, 7, 7, 7], [7, 9, 9, 9], [255, 9, 9, 9]]


def test_label_map_grows_to_16_bits():
    mask = mask_to_rle(np.eye(2, dtype=bool))
    painted = label_map_from_rles([mask], [255], (2, 2))
    assert painted.dtype == np.uint16
    assert painted.tolist() == [[255, 65535], [65535, 255]]
    assert label_map_from_rles([mask], [255], (2, 2), fill=0).dtype == np.uint8


def test_label_map_refuses_what_does_not_fit():
    mask = mask_to_rle(np.eye(2, dtype=bool))
    with pytest.raises(SegserveError, match=r"\(2, 2\).*\(3, 3\)"):
        label_map_from_rles([mask], [1], (3, 3))
    with pytest.raises(SegserveError, match="0 to 65535"):
        label_map_from_rles([mask], [70000], (2, 2))
