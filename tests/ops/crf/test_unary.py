"""Unary terms from logits, probabilities and labels."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.crf.unary import (
    unary_from_labels,
    unary_from_logits,
    unary_from_probabilities,
)


def test_logits_become_negative_log_softmax():
    logits = np.log(np.array([[[0.5]], [[0.25]], [[0.25]]])) + 7
    unary = unary_from_logits(logits.astype(np.float32))
    assert unary.dtype == np.float32
    np.testing.assert_allclose(unary.ravel(), -np.log([0.5, 0.25, 0.25]), rtol=1e-6)


def test_hopeless_logits_are_clipped():
    unary = unary_from_logits(np.array([[[0.0]], [[-np.inf]]], np.float16))
    np.testing.assert_allclose(unary.ravel(), [0, -np.log(1e-5)], rtol=1e-6)


def test_probabilities_are_clipped_and_logged():
    unary = unary_from_probabilities(np.array([[[1.0]], [[0.0]], [[0.5]]]))
    np.testing.assert_allclose(unary.ravel(), -np.log([1, 1e-5, 0.5]), rtol=1e-6, atol=1e-9)


def test_labels_with_confidence():
    unary = unary_from_labels(np.array([[0, 2, 255]], np.uint8), 3, 0.8, unsure_id=255)
    p = np.exp(-unary)
    np.testing.assert_allclose(p[:, 0, 0], [0.8, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(p[:, 0, 1], [0.1, 0.1, 0.8], rtol=1e-6)
    np.testing.assert_allclose(p[:, 0, 2], [1 / 3] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: unary_from_logits(np.zeros((2, 2), np.float32)), "float \\[C, H, W\\]"),
        (lambda: unary_from_logits(np.full((2, 1, 1), np.nan, np.float32)), "no NaN"),
        (lambda: unary_from_probabilities(np.full((2, 1, 1), np.nan)), "must lie in"),
        (lambda: unary_from_probabilities(np.full((2, 1, 1), 1.5)), "got 1.5..1.5"),
        (lambda: unary_from_probabilities(np.zeros((2, 1, 1), np.int32)), "must be float"),
        (lambda: unary_from_labels(np.zeros((1, 1)), 2, 0.5), "integers"),
        (lambda: unary_from_labels(np.zeros((1, 1), int), 2, 1.0), "confidence"),
        (lambda: unary_from_labels(np.zeros((1, 1), int), 1, 0.5), "label_count"),
        (lambda: unary_from_labels(np.full((1, 1), 2), 2, 0.5), "got 2..2"),
    ],
)
def test_wrong_inputs_are_refused(call, says):
    with pytest.raises(InvalidInput, match=says):
        call()
