"""Masks of the network's grid against torch, resized twice."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.full_masks import resize_masks_to_rle


def blobs(seed: int, count: int, h: int, w: int) -> np.ndarray:
    """Probabilities with soft edges and plain insides, as a network gives them."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(0, 8, (1, count, 5, 6)))
    fine = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bicubic")
    return torch.sigmoid(fine)[0].float().numpy()


def by_torch(masks: np.ndarray, padded, content, source, threshold: float = 0.5) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    resize = torch.nn.functional.interpolate
    given = torch.from_numpy(masks.astype(np.float32))[None]
    network = resize(given, size=padded, mode="bilinear")[:, :, : content[0], : content[1]]
    return (resize(network, size=source, mode="bilinear")[0] > threshold).numpy()


SIZES = [
    ((128, 160), (120, 150), (210, 260)),
    ((128, 160), (128, 160), (77, 91)),
    ((128, 160), (97, 160), (97, 160)),
    ((128, 160), (100, 133), (50, 66)),
    ((64, 96), (50, 70), (40, 50)),
    ((64, 96), (1, 1), (3, 300)),
]


@pytest.mark.parametrize(("padded", "content", "source"), SIZES)
@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_equals_torch(padded, content, source, threshold: float) -> None:
    masks = blobs(0, 11, padded[0] // 4, padded[1] // 4)
    got = resize_masks_to_rle(masks, padded, content, source, threshold)
    want = by_torch(masks, padded, content, source, threshold)
    np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)


def test_half_precision_is_widened() -> None:
    masks = blobs(1, 3, 20, 24).astype(np.float16)
    got = resize_masks_to_rle(masks, (80, 96), (80, 90), (120, 135))
    want = by_torch(masks, (80, 96), (80, 90), (120, 135))
    np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)


def test_plain_masks() -> None:
    masks = np.stack([np.zeros((4, 4)), np.ones((4, 4)), np.full((4, 4), 0.5)]).astype(np.float32)
    got = resize_masks_to_rle(masks, (16, 16), (12, 16), (6, 8))
    assert [rle.area(one) for one in got] == [0, 48, 0]
    assert resize_masks_to_rle(masks[:0], (16, 16), (12, 16), (6, 8)) == ()


@pytest.mark.parametrize(
    ("masks", "padded", "content", "source"),
    [
        (np.zeros((4, 4), np.float32), (16, 16), (16, 16), (8, 8)),
        (np.zeros((1, 4, 4), np.uint8), (16, 16), (16, 16), (8, 8)),
        (np.zeros((1, 0, 4), np.float32), (16, 16), (16, 16), (8, 8)),
        (np.zeros((1, 4, 4), np.float32), (16, 16), (17, 16), (8, 8)),
        (np.zeros((1, 4, 4), np.float32), (16, 16), (16, 16), (0, 8)),
    ],
)
def test_wrong_input(masks, padded, content, source) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        resize_masks_to_rle(masks, padded, content, source)


def test_what_is_not_finite_is_treated_as_torch_does() -> None:
    masks = blobs(2, 3, 20, 24)
    masks[0, 9, 9], masks[1, 9, 9], masks[2, 3, 3] = np.nan, np.inf, -np.inf
    sizes = ((80, 96), (80, 90), (120, 135))
    got = resize_masks_to_rle(masks, *sizes)
    want = by_torch(masks, *sizes)
    np.testing.assert_array_equal(np.stack([rle.decode(one) for one in got]), want)
