"""Resize and normalise against torch, torchvision's formula, OpenCV and Pillow."""

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.ops.resize import Normalisation, normalise, resize_normalise, resize_pillow

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0)
RAW = Normalisation()


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


def test_every_grey_level_equals_torchvision() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pixels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).div(255)
    mean = torch.tensor(IMAGENET.mean).view(3, 1, 1)
    std = torch.tensor(IMAGENET.std).view(3, 1, 1)
    out = np.empty((3, 16, 16), np.float32)
    normalise(pixels, out, IMAGENET)
    np.testing.assert_array_equal(out, tensor.sub(mean).div(std).numpy())


def test_bgr_takes_the_channels_the_other_way_round() -> None:
    pixels = noise(4, 5)
    out = np.empty((3, 4, 5), np.float32)
    normalise(pixels, out, Normalisation((1, 2, 3), order=(2, 1, 0)))
    want = pixels[..., ::-1].transpose(2, 0, 1) - np.array([1, 2, 3], np.float32)[:, None, None]
    np.testing.assert_array_equal(out, want)
    resize_normalise(noise(1, 1), out, Normalisation((1, 2, 3), order=(2, 1, 0)), (4, 5))
    want = noise(1, 1)[0, 0, ::-1].astype(np.float32) - [1, 2, 3]
    np.testing.assert_allclose(out, np.broadcast_to(want[:, None, None], out.shape))


SIZES = [
    ((40, 61), (80, 122)),
    ((40, 61), (33, 30)),
    ((40, 61), (90, 17)),
    ((40, 61), (13, 99)),
    ((375, 500), (513, 513)),
    ((1, 1), (5, 7)),
    ((9, 1), (3, 4)),
    ((40, 61), (1, 1)),
]


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_fast_equals_torch_interpolate(source, target) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pixels = noise(*source)
    out = np.empty((3, *target), np.float32)
    resize_normalise(pixels, out, RAW, target)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(torch.float64)
    want = torch.nn.functional.interpolate(tensor, size=target, mode="bilinear")[0].numpy()
    np.testing.assert_allclose(out, want, atol=2e-4)


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_fast_equals_opencv(source, target) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = noise(*source, seed=1)
    out = np.empty((3, *target), np.float32)
    resize_normalise(pixels, out, IMAGENET, target)
    resized = cv2.resize(pixels.astype(np.float32), target[::-1], interpolation=cv2.INTER_LINEAR)
    want = IMAGENET.apply(resized.transpose(2, 0, 1))
    np.testing.assert_allclose(out, want, atol=2e-3)


def test_known_answer() -> None:
    pixels = np.array([[[0] * 3, [100] * 3]], np.uint8)
    out = np.empty((3, 1, 4), np.float32)
    resize_normalise(pixels, out, RAW, (1, 4))
    np.testing.assert_allclose(out[1], [[0, 25, 75, 100]])


@pytest.mark.parametrize("size", [(20, 30), (40, 61), (50, 61)])
def test_padding_is_the_mean_or_what_was_asked_for(size: tuple[int, int]) -> None:
    out = np.full((3, 64, 80), 7, np.float32)
    resize_normalise(noise(40, 61), out, IMAGENET, size)
    assert (out[:, size[0] :] == 0).all()
    assert (out[:, :, size[1] :] == 0).all()
    alone = np.empty((3, *size), np.float32)
    resize_normalise(noise(40, 61), alone, IMAGENET, size)
    np.testing.assert_array_equal(out[:, : size[0], : size[1]], alone)
    grey = Normalisation(IMAGENET.mean, IMAGENET.std, 255.0, pad=(114, 114, 0))
    resize_normalise(noise(40, 61), out, grey, size)
    want = grey.apply(np.array([114, 114, 0]))
    np.testing.assert_array_equal(out[:, -1, -1], want)


@pytest.mark.parametrize("size", [(40, 61), (30, 80), (70, 20)])
def test_any_strides(size: tuple[int, int]) -> None:
    pixels = noise(61, 40).swapaxes(0, 1)
    pixels.flags.writeable = False
    rows = np.zeros((3, 90, 100, 2), np.float32)
    out = rows[..., 1]
    resize_normalise(pixels, out, IMAGENET, size)
    want = np.empty((3, *size), np.float32)
    resize_normalise(np.ascontiguousarray(pixels), want, IMAGENET, size)
    np.testing.assert_array_equal(out[:, : size[0], : size[1]], want)
    assert (rows[..., 0] == 0).all()


def test_pillow_is_pillow() -> None:
    pixels = noise(40, 61)
    want = np.asarray(Image.fromarray(pixels).resize((30, 20), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize_pillow(pixels, (20, 30)), want)
    assert resize_pillow(pixels, (40, 61)) is pixels


def test_wrong_input_is_named() -> None:
    out = np.empty((3, 8, 8), np.float32)
    with pytest.raises(InvalidInput, match="float32"):
        normalise(np.zeros((4, 4, 3), np.float32), out, RAW)
    with pytest.raises(InvalidInput, match=r"\[4, 4, 4\]"):
        normalise(np.zeros((4, 4, 4), np.uint8), out, RAW)
    with pytest.raises(InvalidInput, match="do not fit"):
        normalise(noise(9, 8), out, RAW)
    with pytest.raises(InvalidInput, match="float64"):
        normalise(noise(4, 4), out.astype(np.float64), RAW)
    with pytest.raises(InvalidInput, match="at least one pixel"):
        normalise(np.zeros((0, 4, 3), np.uint8), out, RAW)
    with pytest.raises(InvalidInput, match="at least one pixel"):
        resize_normalise(noise(4, 4), out, RAW, (0, 4))
