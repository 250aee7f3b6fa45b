"""Set operations on runs against the same on pixels, and against pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.ops import rle
from segserve.ops.rle_sets import complement, difference, intersection, iou, shared_areas, union


def noise(seed: int, count: int, shape=(13, 17)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shares = [0, 0.05, 0.5, 0.95, 1]
    return [rng.random(shape) < shares[i % len(shares)] for i in range(count)]


def encoded(masks) -> list[Rle]:
    return [rle.encode(mask) for mask in masks]


def coco(masks) -> list[dict]:
    return [mask.to_coco() for mask in encoded(masks)]


@pytest.mark.parametrize("seed", range(5))
def test_as_on_pixels(seed: int) -> None:
    a, b, c = noise(seed, 3 + seed)[-3:]
    x, y, z = encoded([a, b, c])
    assert union([x, y, z]) == rle.encode(a | b | c)
    assert intersection([x, y, z]) == rle.encode(a & b & c)
    assert difference(x, y) == rle.encode(a & ~b)
    assert complement(x) == rle.encode(~a)
    assert union([x]) == intersection([x]) == x


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60), st.integers(1, 9))
@settings(max_examples=100)
def test_any_two_masks(first: bytes, second: bytes, height: int) -> None:
    length = min(len(first), len(second)) * 8 // height * height
    if length == 0:
        return
    a, b = (
        np.unpackbits(np.frombuffer(data, np.uint8))[:length].reshape(height, -1) != 0
        for data in (first, second)
    )
    x, y = encoded([a, b])
    assert union([x, y]) == rle.encode(a | b)
    assert intersection([x, y]) == rle.encode(a & b)
    assert difference(x, y) == rle.encode(a & ~b)
    assert shared_areas([x], [y]).item() == (a & b).sum()


def test_equals_pycocotools() -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")
    masks, others = noise(1, 12), noise(2, 9)
    crowd = [i % 2 == 1 for i in range(9)]
    want = tool.iou(coco(masks), coco(others), [int(flag) for flag in crowd])
    np.testing.assert_array_equal(iou(encoded(masks), encoded(others), crowd), want)
    want = tool.iou(coco(masks), coco(others), [0] * 9)
    np.testing.assert_array_equal(iou(encoded(masks), encoded(others)), want)
    for least in (True, False):
        merged = tool.merge(coco(masks[:3]), intersect=least)
        got = (intersection if least else union)(encoded(masks[:3]))
        assert got.counts == merged["counts"]


def test_shared_areas_of_known_squares() -> None:
    a, b = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    a[1:4, 1:5] = True
    b[2:6, 3:8] = True
    assert shared_areas(encoded([a, b]), encoded([b])).tolist() == [[4], [20]]
    assert iou(encoded([a]), encoded([b])).tolist() == [[4 / 28]]
    assert shared_areas([], encoded([b])).shape == (0, 1)


def test_wrong_input() -> None:
    small, large = Rle(2, 2, b"4"), Rle(3, 3, b"9")
    for wrong in ([], [small, large]):
        with pytest.raises(InvalidInput, match="of one size"):
            union(wrong)
    with pytest.raises(InvalidInput, match="of one size"):
        iou([small], [large])
    with pytest.raises(InvalidInput, match="crowd flag"):
        iou([small], [small], [True, False])
