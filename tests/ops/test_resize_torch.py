"""torch's float resize against torch itself."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.bilinear import resize
from segserve.ops.resize import Normalisation
from segserve.ops.resize_torch import resize_normalise_torch

RAW = Normalisation()
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0)
YOLACT = Normalisation((123.68, 116.78, 103.94), (58.4, 57.12, 57.38))
SIZES = [
    ((375, 500), (800, 1066)),
    ((375, 500), (550, 550)),
    ((40, 61), (80, 122)),
    ((40, 61), (33, 30)),
    ((40, 61), (190, 17)),
    ((1, 1), (5, 7)),
    ((5, 7), (1, 1)),
    ((9, 1), (3, 4)),
]
CLOSE = 1e-5  # of the range of the values


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3)).astype(np.uint8)


def resized(pixels, rule, size, *, first: bool) -> np.ndarray:
    out = np.full((3, *size), np.nan, np.float32)
    resize_normalise_torch(pixels, out, rule, size, normalise_first=first)
    return out


@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("first", [False, True])
def test_equals_torch_in_either_order(source, target, first: bool) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pixels, rule = noise(*source), IMAGENET if first else YOLACT
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (rule.mean, rule.std))
    x = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).contiguous() / rule.divisor
    x = (x - mean) / std if first else x
    x = torch.nn.functional.interpolate(x[None], size=target, mode="bilinear")[0]
    want = (x if first else (x - mean) / std).numpy()
    got = resized(pixels, rule, target, first=first)
    scale = 255 / rule.divisor / min(rule.std)
    np.testing.assert_allclose(got, want, rtol=0, atol=CLOSE * scale)


def test_equals_the_written_out_formula() -> None:
    pixels = noise(40, 61)
    want = resize(pixels.transpose(2, 0, 1).astype(np.float32), 133, 97)
    np.testing.assert_array_equal(resized(pixels, RAW, (133, 97), first=False), want)


def test_known_answer() -> None:
    pixels = np.array([[[0] * 3, [100] * 3]], np.uint8)
    np.testing.assert_array_equal(resized(pixels, RAW, (1, 4), first=True)[1], [[0, 25, 75, 100]])


@pytest.mark.parametrize("first", [False, True])
def test_normalised_in_the_network_s_order_and_padded(first: bool) -> None:
    rule = Normalisation(IMAGENET.mean, IMAGENET.std, 255.0, (2, 1, 0))
    rows = np.zeros((3, 64, 80, 2), np.float32)
    pixels = noise(61, 40).swapaxes(0, 1)
    resize_normalise_torch(pixels, rows[..., 1], rule, (33, 30), normalise_first=first)
    want = rule.apply(resized(pixels, RAW, (33, 30), first=False)[::-1])
    np.testing.assert_allclose(rows[:, :33, :30, 1], want, atol=1e-5)
    assert (rows[:, 33:, :, 1] == 0).all()
    assert (rows[:, :, 30:, 1] == 0).all()
    assert (rows[..., 0] == 0).all()


def test_the_same_size_is_left_alone() -> None:
    want = IMAGENET.apply(noise(9, 7).transpose(2, 0, 1))
    np.testing.assert_array_equal(resized(noise(9, 7), IMAGENET, (9, 7), first=False), want)


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="at least one pixel"):
        resized(noise(4, 4), RAW, (0, 8), first=True)
