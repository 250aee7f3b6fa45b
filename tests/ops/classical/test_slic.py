"""SLIC: count, connectedness, borders kept."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.regions import connected_pieces
from segserve.ops.classical.slic import SlicOptions, slic


def test_about_as_many_as_asked_for_and_connected() -> None:
    y, x = np.mgrid[:160, :200]
    waves = np.stack([128 + 90 * np.sin(x / 30), 128 + 90 * np.cos(y / 40), x], axis=2)
    labels = slic(waves.astype(np.uint8), SlicOptions(segments=100, compactness=20))
    assert 60 <= labels.max() + 1 <= 140
    assert np.array_equal(connected_pieces(labels), labels)


def test_superpixels_do_not_cross_a_strong_border(three_levels) -> None:
    image, truth = three_levels
    labels = slic(image, SlicOptions(segments=60))
    purity = sum(np.bincount(truth[labels == k]).max() for k in range(labels.max() + 1))
    assert purity / truth.size > 0.99


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (30, 20, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not slic(np.full(shape, 3, np.uint8), SlicOptions()).any()


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 50, 3), (50, 2, 3), (3, 3, 3)])
def test_narrow_images(shape) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    labels = slic(image, SlicOptions(segments=5))
    assert labels.shape == shape[:2]
    assert set(np.unique(labels)) == set(range(labels.max() + 1))


def test_deterministic_and_stoppable(noise) -> None:
    assert np.array_equal(slic(noise, SlicOptions()), slic(noise, SlicOptions()))
    with pytest.raises(Cancelled):
        slic(noise, SlicOptions(), stop=lambda: True)
