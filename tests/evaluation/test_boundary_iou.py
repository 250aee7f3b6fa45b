"""Boundaries against OpenCV's erosion, as the official code computes them, and by hand."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.evaluation.boundary_iou import BoundaryCounts, boundary, boundary_width_px
from segserve.evaluation.semantic import IGNORED


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_the_boundary_is_the_official_one(distance):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(distance)
    mask = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 4) > 0.5
    mask[:, :20] = True
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    assert np.array_equal(boundary(mask, distance), mask & (eroded == 0))


def test_a_square_by_hand():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    assert boundary(mask, 1).sum() == 25 - 9
    assert boundary(mask, 2).sum() == 25 - 1
    assert boundary(np.ones((5, 5), bool), 1).sum() == 25 - 9  # the edge of the image is outside


def test_the_width_is_a_share_of_the_diagonal():
    assert boundary_width_px(300, 400) == 10
    assert boundary_width_px(10, 10) == 1


def test_counts_add_up_over_images():
    truth = np.zeros((30, 40), np.uint8)
    truth[10:20, 10:30] = 1
    moved = np.roll(truth, 1, axis=1)
    counts = BoundaryCounts(3)
    counts.add(truth, truth)
    assert counts.iou()[:2].tolist() == [1, 1]
    assert np.isnan(counts.iou()[2])
    counts.add(truth, moved)
    shared = either = 0
    for guess in (truth, moved):
        one, other = boundary(truth == 1, 1), boundary(guess == 1, 1)
        shared, either = shared + (one & other).sum(), either + (one | other).sum()
    assert counts.iou()[1] == pytest.approx(shared / either)
    assert counts.mean_iou() == pytest.approx(np.nanmean(counts.iou()))


def test_ignored_pixels_do_not_count():
    truth = np.zeros((30, 40), np.uint8)
    guess = truth.copy()
    guess[5:9, 5:9] = 1
    truth[5:9, 5:9] = IGNORED
    counts = BoundaryCounts(2)
    counts.add(truth, guess)
    assert counts.iou()[0] == 1
    assert np.isnan(counts.iou()[1])


def test_nothing_and_wrong_shapes():
    assert BoundaryCounts(2).mean_iou() == 0
    with pytest.raises(InvalidInput, match="truth is"):
        BoundaryCounts(2).add(np.zeros((2, 2)), np.zeros((2, 3)))
