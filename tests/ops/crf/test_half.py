"""From every second pixel back to all of them."""

from __future__ import annotations

import numpy as np

from segserve.ops.crf.field import EXACT, Message, aligned, infer
from segserve.ops.crf.half import STEP_PX, enlarge, every_second
from segserve.ops.crf.lattice import bilateral_lattice, gaussian_lattice


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
    rows = enlarge(image, logits, beliefs, *messages).reshape(21, 26, 8)
    np.testing.assert_allclose(rows.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_array_equal(rows.argmax(axis=2), labels)


def test_at_half_pixels_in_doubt_the_slice_gives_what_the_field_had():
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (16, 22, 3)).astype(np.uint8)
    logits = logits_of(rng.integers(0, 2, (16, 22)), 0.3)  # all is in doubt
    messages, beliefs = half_field(image, logits, 0.3)
    rows = enlarge(image, logits, beliefs, *messages).reshape(16, 22, 8)
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
    logits.reshape(5, 7, 8)[0, :4:2, 0] = 1.0  # two of twelve pixels, less than a fifth
    assert every_second(logits, (5, 7), 8) is not None
    logits.reshape(5, 7, 8)[0, 4, 0] = 1.0
    assert every_second(logits, (5, 7), 8) is None
