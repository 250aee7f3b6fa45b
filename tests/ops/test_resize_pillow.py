"""Pillow's arithmetic against Pillow itself and against a recorded picture."""

import numpy as np
import PIL
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.ops.resize import Normalisation, resize_pillow
from segserve.ops.resize_pillow import resize_normalise_pillow

RAW = Normalisation()
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0)
SIZES = [
    ((375, 500), (800, 1067)),
    ((375, 500), (520, 693)),
    ((375, 500), (100, 133)),
    ((40, 61), (33, 30)),
    ((40, 61), (90, 17)),
    ((40, 61), (13, 99)),
    ((40, 61), (40, 99)),
    ((40, 61), (13, 61)),
    ((80, 122), (40, 61)),
    ((200, 301), (75, 13)),
    ((200, 100), (50, 60)),
    ((200, 100), (150, 75)),
    ((1, 1), (5, 7)),
    ((5, 7), (1, 1)),
    ((9, 1), (3, 4)),
]


PILLOW_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="older Pillows begin with the rows"
)


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


def levels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.empty((3, *size), np.float32)
    resize_normalise_pillow(pixels, out, RAW, size)
    return out.transpose(1, 2, 0)


@PILLOW_13
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_equals_pillow_bit_for_bit(source, target) -> None:
    edges = np.where(noise(*source) > 127, np.uint8(255), np.uint8(0))
    for pixels in (noise(*source), np.full((*source, 3), 255, np.uint8), edges):
        np.testing.assert_array_equal(levels(pixels, target), resize_pillow(pixels, target))


@PILLOW_13
def test_equals_pillow_on_many_sizes() -> None:
    sides = np.random.default_rng(0).integers(1, 60, (200, 4))
    for h, w, height, width in sides.tolist():
        pixels = noise(h, w)
        want = resize_pillow(pixels, (height, width))
        np.testing.assert_array_equal(levels(pixels, (height, width)), want)


def test_equals_the_recorded_picture(goldens) -> None:
    picture = np.asarray(Image.open(goldens / "images" / "public.png").convert("RGB"))
    want = np.asarray(Image.open(goldens / "resized" / "public_pil_800x1067.png").convert("RGB"))
    np.testing.assert_array_equal(levels(picture, (800, 1067)), want)


def test_known_answer() -> None:
    pixels = np.array([[[0] * 3, [100] * 3, [200] * 3, [50] * 3]], np.uint8)
    np.testing.assert_array_equal(levels(pixels, (1, 2))[0, :, 1], [71, 121])


@pytest.mark.parametrize("size", [(20, 31), (33, 30)])
def test_normalised_in_the_network_s_order_and_padded(size: tuple[int, int]) -> None:
    rule = Normalisation(IMAGENET.mean, IMAGENET.std, 255.0, (2, 1, 0), pad=(1, 2, 3))
    rows = np.zeros((3, 64, 80, 2), np.float32)
    pixels = noise(61, 40).swapaxes(0, 1)
    resize_normalise_pillow(pixels, rows[..., 1], rule, size)
    want = rule.apply(levels(pixels, size).transpose(2, 0, 1)[::-1])
    np.testing.assert_array_equal(rows[:, : size[0], : size[1], 1], want)
    pad = rule.apply(np.array([1, 2, 3]))
    np.testing.assert_array_equal(rows[:, size[0] :, :, 1].min(axis=(1, 2)), pad)
    np.testing.assert_array_equal(rows[:, :, size[1] :, 1].max(axis=(1, 2)), pad)
    assert (rows[..., 0] == 0).all()


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="do not fit"):
        resize_normalise_pillow(noise(4, 4), np.empty((3, 8, 8), np.float32), RAW, (9, 8))
