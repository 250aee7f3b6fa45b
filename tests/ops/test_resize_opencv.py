"""OpenCV's arithmetic against OpenCV itself and against a recorded picture."""

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.ops.resize import Normalisation
from segserve.ops.resize_opencv import resize_normalise_opencv

RAW = Normalisation()
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0)
SIZES = [
    ((375, 500), (800, 1067)),
    ((375, 500), (768, 1280)),
    ((40, 61), (33, 30)),
    ((40, 61), (90, 17)),
    ((40, 61), (13, 99)),
    ((80, 122), (40, 61)),
    ((80, 122), (40, 60)),
    ((33, 77), (33, 140)),
    ((33, 77), (70, 77)),
    ((200, 300), (75, 133)),
    ((1, 1), (5, 7)),
    ((5, 7), (1, 1)),
    ((9, 1), (3, 4)),
    ((2, 2), (1, 1)),
]


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


def levels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.empty((3, *size), np.float32)
    resize_normalise_opencv(pixels, out, RAW, size)
    return out.transpose(1, 2, 0)


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_equals_opencv_bit_for_bit(source, target) -> None:
    cv2 = pytest.importorskip("cv2")
    for pixels in (noise(*source), np.full((*source, 3), 255, np.uint8)):
        want = cv2.resize(pixels, target[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(levels(pixels, target), want)


def test_equals_the_recorded_picture(goldens) -> None:
    picture = np.asarray(Image.open(goldens / "images" / "public.png").convert("RGB"))
    want = np.asarray(Image.open(goldens / "resized" / "public_cv2_800x1067.png").convert("RGB"))
    np.testing.assert_array_equal(levels(picture, (800, 1067)), want)


def test_known_answer() -> None:
    pixels = np.array([[[0] * 3, [100] * 3]], np.uint8)
    np.testing.assert_array_equal(levels(pixels, (1, 4))[0, :, 1], [0, 25, 75, 100])
    four = np.array([[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]], np.uint8)
    np.testing.assert_array_equal(levels(four, (1, 1))[0, 0], [3, 3, 3])


def test_the_same_size_is_left_alone() -> None:
    np.testing.assert_array_equal(levels(noise(9, 7), (9, 7)), noise(9, 7))


@pytest.mark.parametrize("size", [(20, 31), (33, 30)])
def test_normalised_in_the_network_s_order_and_padded(size: tuple[int, int]) -> None:
    rule = Normalisation(IMAGENET.mean, IMAGENET.std, 255.0, (2, 1, 0), pad=(1, 2, 3))
    rows = np.zeros((3, 64, 80, 2), np.float32)
    pixels = noise(61, 40).swapaxes(0, 1)
    resize_normalise_opencv(pixels, rows[..., 1], rule, size)
    want = rule.apply(levels(pixels, size).transpose(2, 0, 1)[::-1])
    np.testing.assert_array_equal(rows[:, : size[0], : size[1], 1], want)
    pad = rule.apply(np.array([1, 2, 3]))
    np.testing.assert_array_equal(rows[:, size[0] :, :, 1].min(axis=(1, 2)), pad)
    np.testing.assert_array_equal(rows[:, :, size[1] :, 1].max(axis=(1, 2)), pad)
    assert (rows[..., 0] == 0).all()


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="do not fit"):
        resize_normalise_opencv(noise(4, 4), np.empty((3, 8, 8), np.float32), RAW, (9, 8))
    with pytest.raises(InvalidInput, match="uint8"):
        resize_normalise_opencv(np.zeros((4, 4, 3)), np.empty((3, 8, 8), np.float32), RAW, (8, 8))
