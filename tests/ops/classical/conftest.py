"""Made pictures with known answers."""

import numpy as np
import pytest

LEVELS = (50, 120, 200)


@pytest.fixture(scope="session")
def three_levels():
    """Three vertical bars of different grey, with noise: the picture and its true labels."""
    random = np.random.default_rng(7)
    truth = np.repeat(np.arange(3), 20)[None].repeat(45, axis=0)
    grey = np.array(LEVELS)[truth] + random.normal(0, 8, truth.shape)
    image = np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    return image, truth


@pytest.fixture(scope="session")
def disc():
    """A bright disc of radius 12 at (30, 25) on a dark ground, with noise: picture and mask."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:50, :64]
    mask = (x - 30) ** 2 + (y - 25) ** 2 <= 144
    image = np.where(mask[..., None], (220, 180, 60), (40, 60, 90)) + random.normal(
        0, 6, (50, 64, 3)
    )
    return np.clip(image, 0, 255).astype(np.uint8), mask


@pytest.fixture
def noise():
    return np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
