"""Colours, textures and light stay in their ranges and come from the seed alone."""

from colorsys import rgb_to_hsv

import numpy as np
import pytest

from segserve.scenes import paint


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (64, 64)])
def test_ranges(size):
    for seed in range(30):
        noise = paint.smooth_noise(rng(seed), *size, 3)
        assert noise.shape == size
        assert 0 <= noise.min() <= noise.max() <= 1
        pattern = paint.pattern(rng(seed), *size)
        assert pattern.shape == size
        assert -1 - 1e-9 <= pattern.min() <= pattern.max() <= 1 + 1e-9
        ground = paint.background(rng(seed), *size, ())
        assert ground.shape == (*size, 3)
        assert np.isfinite(ground).all()


def test_smooth_noise_is_smooth():
    noise = paint.smooth_noise(rng(), 100, 100, 4)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.06


def test_colours_keep_to_their_hue():
    for seed in range(50):
        colour = paint.hued(rng(seed), 120.0, np.zeros(3)) / 255
        hue, saturation, _ = rgb_to_hsv(*colour)
        assert abs(hue * 360 - 120) <= 22.01
        assert saturation >= 0.549


def test_finish_gives_bytes_and_leaves_a_plain_picture_near_itself():
    out = paint.finish(rng(), np.full((40, 40, 3), 128.0))
    assert out.dtype == np.uint8
    assert abs(float(out.mean()) - 128) < 30


def test_photographs_are_cropped_from_inside():
    photograph = np.arange(30 * 40 * 3, dtype=np.uint32).reshape(30, 40, 3).astype(np.uint8)
    known = {tuple(p) for p in photograph.reshape(-1, 3)}
    crop = paint._crop(rng(), photograph, 64, 64)
    assert {tuple(p) for p in crop.astype(np.uint8).reshape(-1, 3)} <= known
