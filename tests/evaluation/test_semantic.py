"""Metrics with the numbers worked out by hand."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.evaluation.semantic import IGNORED, ConfusionMatrix


def test_by_hand():
    matrix = ConfusionMatrix(3)
    matrix.add(np.array([[0, 0, 0, 1], [1, 1, IGNORED, 0]]), np.array([[0, 0, 1, 1], [1, 0, 2, 0]]))
    assert matrix.counts.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    scores = matrix.scores()
    assert scores.pixel_accuracy == pytest.approx(5 / 7)
    assert scores.iou[:2] == pytest.approx([3 / 5, 2 / 4])
    assert scores.recall[:2] == pytest.approx([3 / 4, 2 / 3])
    assert scores.precision[:2] == pytest.approx([3 / 4, 2 / 3])
    assert scores.dice[:2] == pytest.approx([6 / 8, 4 / 6])
    assert np.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert scores.mean_pixel_accuracy == pytest.approx((3 / 4 + 2 / 3) / 2)


def test_perfect_and_empty():
    matrix = ConfusionMatrix(4)
    assert matrix.scores().mean_iou == 0.0
    labels = np.arange(4).repeat(5)
    matrix.add(labels, labels)
    assert matrix.scores().mean_iou == 1.0


def test_maps_add_up():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 5, (2, 40, 30))
    whole, parts = ConfusionMatrix(5), ConfusionMatrix(5)
    whole.add(truth, guess)
    for rows in (slice(0, 7), slice(7, 40)):
        parts.add(truth[rows], guess[rows])
    assert np.array_equal(whole.counts, parts.counts)
    brute = sum((truth == 2) & (guess == 3)).sum()
    assert whole.counts[2, 3] == brute


def test_wrong_input_is_named():
    matrix = ConfusionMatrix(3)
    with pytest.raises(InvalidInput, match=r"truth is \(2,\), prediction is \(3,\)"):
        matrix.add(np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(InvalidInput, match="prediction holds labels 0 to 3, expected 0 to 2"):
        matrix.add(np.zeros(2, int), np.array([0, 3]))
