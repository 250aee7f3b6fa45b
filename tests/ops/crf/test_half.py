"""From every second pixel back to all of them."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.ops.crf import half_kernel
from segserve.ops.crf.dense import dense_crf
from segserve.ops.crf.field import EXACT, Message, aligned, groups_of, infer
from segserve.ops.crf.half import STEP_PX, _gaussians, can_halve, enlarge, every_second
from segserve.ops.crf.lattice import bilateral_lattice, gaussian_lattice
from segserve.ops.crf.options import DenseCrfOptions


def half_field(image, logits, weight):
    """Do one half-size mean field over two labels."""
    height, columns = image.shape[:2]
    near = bilateral_lattice(image, 80.0, 13.0, step_px=STEP_PX)
    close = gaussian_lattice(height, columns, 3.0, STEP_PX)
    messages = [Message(lattice, np.full(2, weight, np.float32)) for lattice in (near, close)]
    some = np.ascontiguousarray(logits.reshape(height, columns, 8)[::2, ::2])
    fewer = aligned(some.size)
    fewer[:] = some.ravel()
    beliefs = infer(fewer, *messages, 5, tolerance=EXACT, stop=None)
    return messages, beliefs


def logits_of(labels, confidence):
    rows = aligned(labels.size * 8)
    rows[:] = -1e30
    rows.reshape(-1, 8)[:, :2] = 0
    np.put_along_axis(rows.reshape(-1, 8), labels.reshape(-1, 1), confidence, axis=1)
    return rows


def test_sure_pixels_are_copied_and_borders_follow_the_picture():
    labels = np.zeros((21, 26), np.int64)
    labels[:, 13:] = 1
    image = np.where(labels[..., None] == 1, 220, 30).repeat(3, axis=2).astype(np.uint8)
    logits = logits_of(labels, 2.0)
    messages, beliefs = half_field(image, logits, 5)
    rows = enlarge(image, logits, beliefs, *messages, DenseCrfOptions()).reshape(21, 26, 8)
    np.testing.assert_allclose(rows.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_array_equal(rows.argmax(axis=2), labels)


def test_at_half_pixels_in_doubt_the_slice_gives_what_the_field_had():
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (16, 22, 3)).astype(np.uint8)
    logits = logits_of(rng.integers(0, 2, (16, 22)), 0.3)  # all is in doubt
    messages, beliefs = half_field(image, logits, 0.3)
    rows = enlarge(image, logits, beliefs, *messages, DenseCrfOptions()).reshape(16, 22, 8)
    half = beliefs.reshape(8, 11, 8)
    doubted = half.max(axis=2) < 0.97
    assert doubted.any()
    np.testing.assert_allclose(rows[::2, ::2][doubted], half[doubted], atol=2e-5)


def test_every_second_pixel_where_most_are_sure():
    labels = np.zeros((5, 7), np.int64)
    logits = logits_of(labels, 5.0)
    fewer = every_second(logits, (5, 7), 8)
    assert fewer is not None
    np.testing.assert_array_equal(
        fewer.reshape(3, 4, 8), logits.reshape(5, 7, 8)[::STEP_PX, ::STEP_PX]
    )
    logits.reshape(5, 7, 8)[0, 2, 0] = 1.0  # one of twelve pixels, less than a tenth
    assert every_second(logits, (5, 7), 8) is not None
    logits.reshape(5, 7, 8)[0, 4, 0] = 1.0
    assert every_second(logits, (5, 7), 8) is None


@pytest.mark.parametrize("labels", [2, 11])
def test_pixels_in_doubt_take_the_smoothness_of_all_around_them(labels):
    """One sweep, against sums over the whole picture."""
    height, columns, sxy_px = 9, 12, 1.2
    rng = np.random.default_rng(labels)
    width = 8 * (1 + labels // 8)
    rows = rng.random((height * columns, width), np.float32)
    weights = np.zeros(width, np.float32)
    weights[:labels] = 3.0
    doubtful = np.array([0, 5, columns * height - 1, 40], np.int32)
    bases = rng.random((len(doubtful), width), np.float32)
    y, x = np.divmod(np.arange(height * columns), columns)
    down, right = np.abs(y[:, None] - y), np.abs(x[:, None] - x)
    near = np.maximum(down, right) <= 4  # three sigmas
    kernel = np.exp(-0.5 * (down**2 + right**2) / sxy_px**2) * near
    norms = np.sqrt(kernel.sum(axis=1))
    expected = rows.astype(np.float64)
    for n, pixel in enumerate(doubtful):  # each sees those before it
        message = (kernel[pixel] / norms[pixel] / norms) @ expected
        logits = bases[n] + weights * message
        expected[pixel] = np.exp(logits) / np.exp(logits).sum()
    taps = (_gaussians(height, sxy_px), _gaussians(columns, sxy_px))
    flat = rows.ravel()
    half_kernel.smooth(doubtful, bases.ravel(), weights, *taps, groups_of(width, 1), flat)
    np.testing.assert_allclose(flat.reshape(rows.shape), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("compat", "sxy_px", "does"),
    [
        (3.0, 0.9, False),
        (3.0, 1.0, True),
        (np.eye(2, dtype=np.float32), 1.9, False),
        (np.eye(2, dtype=np.float32), 2.0, True),
        (np.ones(2, np.float32), 1.0, True),
    ],
)
def test_which_smoothness_it_can_do_with(compat, sxy_px, does):
    assert can_halve(DenseCrfOptions(gaussian_compat=compat, gaussian_sxy_px=sxy_px)) is does


def test_a_narrow_smoothness_without_iterations_is_the_unary_alone():
    labels = np.zeros((8, 8), np.int64)
    labels[:, 4:] = 1
    unary = np.where(labels == np.arange(2)[:, None, None], 0.1, 3.0).astype(np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    options = DenseCrfOptions(mode="fast", iterations=0, gaussian_sxy_px=1.0)
    p = np.exp(-unary)
    np.testing.assert_allclose(dense_crf(image, unary, options), p / p.sum(axis=0), atol=2e-6)
