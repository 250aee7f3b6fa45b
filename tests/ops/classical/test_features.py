"""Features: shapes, known colours, filters with known answers."""

import numpy as np
import pytest

from segserve.ops.classical.features import (
    FEATURES,
    filter_bank,
    gradients,
    intensity,
    lab,
    luv,
    pixel_features,
    smooth,
)

DIMS = {
    "intensity": 1,
    "colour": 3,
    "intensity+position": 3,
    "colour+position": 5,
    "texture": 24,
}


@pytest.mark.parametrize("kind", FEATURES)
def test_shapes(kind, noise) -> None:
    features = pixel_features(noise, kind, 0.5)
    assert features.shape == (DIMS[kind], 40 * 50)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous


def test_place_is_in_colour_ranges() -> None:
    features = pixel_features(np.zeros((2, 4, 3), np.uint8), "intensity+position", 1.0)
    assert features[1].tolist() == [0, 63.75, 127.5, 191.25] * 2
    assert features[2].tolist() == [0] * 4 + [63.75] * 4


def test_known_colours() -> None:
    """White, black, and pure red as the CIE's formulas give them for sRGB."""
    image = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    assert intensity(image)[0] == pytest.approx([255, 0, 76.245])
    assert lab(image)[:, 0, 0] == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(image)[:, 0, 1] == pytest.approx([0, 0, 0], abs=0.02)
    assert lab(image)[:, 0, 2] == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert luv(image)[:, 0, 1] == pytest.approx([0, 0, 0], abs=0.02)
    assert luv(image)[:, 0, 2] == pytest.approx([53.24, 175.0, 37.75], abs=0.1)


def test_smoothing_keeps_constants_and_sums() -> None:
    assert smooth(np.full((5, 7), 3.0), 2.0) == pytest.approx(np.full((5, 7), 3.0), rel=1e-5)
    point = np.zeros((31, 31), np.float32)
    point[15, 15] = 1
    blurred = smooth(point, 2.0)
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    assert blurred[15, 17] / blurred[15, 15] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert np.array_equal(smooth(point, 0), point)


def test_gradients_of_a_ramp() -> None:
    along_x, along_y = gradients(np.arange(5.0)[None].repeat(4, axis=0) * 2)
    assert along_x[1].tolist() == [1, 2, 2, 2, 1]
    assert not along_y.any()


def test_filters_see_nothing_in_a_constant_but_its_level() -> None:
    responses = filter_bank(np.full((9, 9), 100.0))
    assert responses.shape == (24, 9, 9)
    level = responses[:, 4, 4] > 50
    assert level.sum() == 3
    assert np.abs(responses[~level]).max() < 1e-2
