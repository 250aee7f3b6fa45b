"""Textons: histograms by a plain count, and two textures told apart."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.texton import TextonOptions, texton, texton_histograms


@pytest.mark.parametrize("window_px", [1, 2, 5, 30])
def test_histograms_are_shares_of_the_window(window_px) -> None:
    textons = np.random.default_rng(0).integers(0, 3, (7, 9))
    found = texton_histograms(textons, 3, window_px)
    before, after = window_px // 2, window_px - window_px // 2
    for y in range(7):
        for x in range(9):
            window = textons[max(0, y - before) : y + after, max(0, x - before) : x + after]
            want = [(window == k).mean() for k in range(3)]
            assert found[:, y, x] == pytest.approx(want, abs=1e-6)


def test_stripes_and_checks_of_one_mean_are_told_apart() -> None:
    y, x = np.mgrid[:60, :120]
    stripes, checks = (x // 2 % 2), (x // 6 + y // 6) % 2
    truth = x >= 60
    image = (np.where(truth, checks, stripes) * 200).astype(np.uint8)[..., None].repeat(3, axis=2)
    labels = texton(image, TextonOptions(clusters=2, textons=12, window_px=15))
    right = (labels == truth).mean()
    assert max(right, 1 - right) > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 7, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not texton(np.full(shape, 9, np.uint8), TextonOptions()).any()


def test_stop_is_asked(noise) -> None:
    with pytest.raises(Cancelled):
        texton(noise, TextonOptions(), stop=lambda: True)
