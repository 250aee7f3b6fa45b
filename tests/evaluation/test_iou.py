"""Overlaps against pycocotools' and by hand."""

import numpy as np
import pytest

from segserve.core.regions import Rle
from segserve.evaluation.iou import box_ious, mask_ious
from segserve.ops.rle import encode

coco = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")


def test_boxes():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((9, 4)) * 20, rng.random((7, 4)) * 20
    crowd = np.arange(7) % 3 == 0
    expected = coco.iou(ours, theirs, crowd.astype(np.uint8).tolist())
    np.testing.assert_allclose(box_ious(ours, theirs, crowd), expected, atol=1e-12)


def test_boxes_by_hand():
    box = np.array([[0.0, 0, 4, 2]])
    half = np.array([[2.0, 0, 4, 2], [2.0, 0, 4, 2], [9.0, 9, 1, 1]])
    crowd = np.array([False, True, False])
    assert box_ious(box, half, crowd).tolist() == [[4 / 12, 4 / 8, 0]]


def test_masks():
    rng = np.random.default_rng(1)
    masks = rng.random((8, 23, 31)) < rng.random((8, 1, 1))
    masks[0], masks[7] = False, True
    rles = [encode(mask) for mask in masks]
    crowd = np.arange(8) % 2 == 1
    packed = [rle.to_coco() for rle in rles]
    expected = coco.iou(packed, packed, crowd.astype(np.uint8).tolist())
    np.testing.assert_allclose(mask_ious(rles, rles, crowd), expected, atol=1e-12)


def test_none_of_either():
    none = np.zeros((0, 4))
    assert box_ious(none, np.ones((3, 4)), np.zeros(3, bool)).shape == (0, 3)
    assert mask_ious([], [Rle(2, 2, b"4")], np.zeros(1, bool)).shape == (0, 1)
    assert mask_ious([Rle(2, 2, b"4")], [], np.zeros(0, bool)).shape == (1, 0)
