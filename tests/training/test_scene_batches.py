"""Training batches: held-out photographs stay out, labels follow their pixels."""

import numpy as np
import pytest

from segserve.training.scene_batches import IGNORED, MEAN, STD, SceneBank


@pytest.fixture(scope="module")
def bank():
    """Scenes in which the label can be read off the pixel: both hold the same number."""
    labels = np.random.default_rng(0).integers(0, 7, (3, 240, 320)).astype(np.uint8)
    return SceneBank(np.repeat(labels[..., None] * 30, 3, axis=3).astype(np.uint8), labels)


def test_labels_follow_their_pixels_through_every_variation(bank):
    images, labels = bank.batch(np.random.default_rng(3), 40, 64)
    assert images.shape == (40, 3, 64, 64)
    for image, label in zip(images, labels, strict=True):
        grey = image.transpose(1, 2, 0) * STD + MEAN
        levels = {n: np.median(grey[label == n]) for n in range(7)}
        assert all(levels[n] < levels[n + 1] for n in range(6))


def test_some_are_padded_at_the_bottom_with_the_mean(bank):
    images, labels = bank.batch(np.random.default_rng(3), 40, 64)
    padded = [n for n in range(40) if (labels[n] == IGNORED).any()]
    assert 3 <= len(padded) <= 20
    for n in padded:
        rows = (labels[n] == IGNORED).all(axis=1)
        assert rows[-1]
        assert (images[n][:, rows] == 0).all()


def test_training_photographs_are_not_those_of_the_demo():
    data = pytest.importorskip("skimage.data", reason="needs the train extra")
    from segserve.training.scene_batches import photographs

    shown = [np.asarray(read()) for read in (data.coffee, data.chelsea)]
    for photograph in photographs():
        assert photograph.dtype == np.uint8
        assert not any(np.array_equal(photograph, other) for other in shown)
