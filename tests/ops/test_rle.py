"""COCO run-length encoding against pycocotools and slow obvious versions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput, TooLarge
from segserve.core.regions import Rle
from segserve.ops import rle

SHAPES = [(1, 1), (1, 9), (9, 1), (8, 8), (7, 13), (64, 65), (375, 500)]


def coco(mask: np.ndarray) -> bytes:
    tool = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")
    return tool.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


def blobs(seed: int, shape: tuple[int, int], values: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, values, (-(-shape[0] // 5), -(-shape[1] // 5)))
    return np.kron(coarse, np.ones((5, 5), int))[: shape[0], : shape[1]]


def test_known_answer() -> None:
    mask = np.array([[0, 1], [1, 1]], dtype=np.uint8)
    assert rle.encode(mask) == Rle(2, 2, b"13")
    assert rle.area(rle.encode(mask)) == 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_noise_equals_pycocotools(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(1).random(shape) < share
    assert rle.encode(mask).counts == coco(mask)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.uint16])
def test_any_integer_dtype(dtype: type) -> None:
    mask = (blobs(3, (33, 21), 2) * 3).astype(dtype)
    assert rle.encode(mask).counts == coco(mask != 0)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::2, ::-1], np.asfortranarray])
def test_any_strides(view) -> None:
    labels = view(blobs(4, (40, 61), 5).astype(np.uint8))
    for i, got in enumerate(rle.label_map_to_rles(labels, range(5))):
        assert got.counts == coco(labels == i)
        assert (got.height_px, got.width_px) == labels.shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SHAPES)
def test_label_map_equals_pycocotools_per_label(dtype: type, shape: tuple[int, int]) -> None:
    labels = blobs(5, shape, 7).astype(dtype)
    labels[0, 0] = 6
    found = rle.find_runs(labels)
    ids = [6, 0, 3, 200]
    for i, got in zip(ids, rle.encode_labels(found, ids), strict=True):
        assert got.counts == coco(labels == i)
        assert found.areas[i] == (labels == i).sum() == rle.area(got)


def test_large_ids() -> None:
    labels = np.array([[0, 65535], [300, 300]], dtype=np.uint16)
    for i, got in zip([65535, 300], rle.label_map_to_rles(labels, [65535, 300]), strict=True):
        assert got.counts == coco(labels == i)


@given(st.binary(min_size=1, max_size=400), st.integers(1, 40))
@settings(max_examples=150)
def test_round_trip_of_anything(data: bytes, height: int) -> None:
    width = -(-len(data) * 8 // height)
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    mask = np.zeros(height * width, np.uint8)
    mask[: len(bits)] = bits
    mask = mask.reshape(height, width)
    encoded = rle.encode(mask)
    assert encoded.counts == coco(mask)
    np.testing.assert_array_equal(rle.decode(encoded), mask)
    assert rle.area(encoded) == mask.sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_box_is_tight(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(2).random(shape) < 3 / (shape[0] * shape[1])
    ys, xs = np.nonzero(mask)
    want = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 0, 0)
    assert rle.to_bbox(rle.encode(mask)) == want


def test_box_of_a_run_over_two_columns() -> None:
    mask = np.zeros((5, 4), np.uint8)
    mask[4, 1] = mask[0, 2] = 1
    tool = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")
    x, y, w, h = tool.toBbox(tool.encode(np.asfortranarray(mask)))
    assert rle.to_bbox(rle.encode(mask)) == (x, y, x + w, y + h)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_mask(shape: tuple[int, int]) -> None:
    encoded = rle.encode(np.zeros(shape, np.uint8))
    assert encoded.counts == b"0"
    assert rle.decode(encoded).shape == shape
    assert rle.to_bbox(encoded) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        (b"", "sum to 0"),
        (b"1", "sum to 1"),
        (b"5", "ends after pixel 4"),
        (b"O", "negative"),
        (b"\xff", "character"),
        (b" ", "character"),
        (b"P", "does not end"),
        (b"PPPPPPPPPPPPPPPP0", "negative or ends"),
    ],
)
def test_hostile_counts_are_refused(counts: bytes, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        rle.decode(Rle(2, 2, counts))


@given(st.binary(max_size=60), st.integers(-3, 50), st.integers(-3, 50))
@settings(max_examples=300)
def test_hostile_bytes_never_escape(counts: bytes, height: int, width: int) -> None:
    try:
        mask = rle.decode(Rle(height, width, counts))
    except InvalidInput:
        return
    assert mask.shape == (height, width)
    assert mask.sum() == rle.area(Rle(height, width, counts))


def test_a_huge_claim_costs_nothing() -> None:
    with pytest.raises(TooLarge, match="268435456"):
        rle.decode(Rle(50_000, 50_000, b"0"))


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="float64"):
        rle.encode(np.zeros((2, 2)))
    with pytest.raises(InvalidInput, match="int64"):
        rle.find_runs(np.zeros((2, 2), np.int64))
    with pytest.raises(InvalidInput, match=r"\[256\]"):
        rle.label_map_to_rles(np.zeros((2, 2), np.uint8), [256])
    with pytest.raises(InvalidInput, match="distinct"):
        rle.label_map_to_rles(np.zeros((2, 2), np.uint8), [1, 1])
