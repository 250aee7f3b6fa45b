"""Outlines against OpenCV, back to masks, and simplified polygons within their tolerance."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.components import fill_holes, split_components
from segserve.ops.contours import rle_to_contours, simplify
from segserve.ops.polygons import fill_polygons_to_rle


def picture(seed: int, shape=(40, 55), share: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-shape[0] // 2), -(-shape[1] // 3))) < share
    return np.kron(coarse, np.ones((2, 3), bool))[: shape[0], : shape[1]] ^ (
        rng.random(shape) < 0.1
    )


def by_opencv(mask: np.ndarray) -> set[tuple[bool, bytes]]:
    cv2 = pytest.importorskip("cv2")
    found, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not found:
        return set()
    return {
        (bool(node[3] >= 0), points[:, 0].astype(np.int64).tobytes())
        for points, node in zip(found, tree[0], strict=True)
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_equals_opencv(seed: int, share: float) -> None:
    mask = picture(seed, share=share)
    got = rle_to_contours(rle.encode(mask))
    assert {(c.is_hole, c.points.tobytes()) for c in got} == by_opencv(mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (6, 7)])
def test_full_masks_equal_opencv(shape) -> None:
    mask = np.ones(shape, bool)
    got = rle_to_contours(rle.encode(mask))
    assert {(c.is_hole, c.points.tobytes()) for c in got} == by_opencv(mask)


def test_known_ring() -> None:
    mask = np.ones((5, 6), np.uint8)
    mask[2, 2:4] = 0
    outer, hole = rle_to_contours(rle.encode(mask))
    assert outer.points.tolist() == [[0, 0], [0, 4], [5, 4], [5, 0]]
    assert not outer.is_hole
    assert hole.is_hole
    assert hole.points.tolist() == [[1, 2], [2, 1], [3, 1], [4, 2], [3, 3], [2, 3]]


@pytest.mark.parametrize("seed", range(4))
def test_outer_outlines_give_the_mask_back(seed: int) -> None:
    for part in split_components(rle.encode(picture(seed))):
        outer = [c for c in rle_to_contours(part) if not c.is_hole]
        assert len(outer) == 1
        (filled,) = fill_polygons_to_rle(outer[0].points[None], part.height_px, part.width_px)
        assert filled == fill_holes(part)


def test_nothing_has_no_outline() -> None:
    assert rle_to_contours(rle.encode(np.zeros((4, 5), np.uint8))) == ()
    assert rle_to_contours(rle.encode(np.zeros((0, 5), np.uint8))) == ()


def distance_to_polygon(point: np.ndarray, polygon: np.ndarray) -> float:
    begins, ends = polygon.astype(float), np.roll(polygon, -1, axis=0).astype(float)
    along = ends - begins
    length = np.maximum((along**2).sum(1), 1e-12)
    share = np.clip(((point - begins) * along).sum(1) / length, 0, 1)
    return float(np.hypot(*(begins + share[:, None] * along - point).T).min())


@pytest.mark.parametrize("tolerance", [0.5, 1.5, 6.0])
def test_simplified_polygons_stay_near(tolerance: float) -> None:
    angle = np.arange(400) * np.pi / 200
    radius = 80 + 10 * np.sin(5 * angle) + np.random.default_rng(0).normal(0, 1, 400)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.int64)
    fewer = simplify(points, tolerance)
    assert 3 <= len(fewer) < 300
    assert max(distance_to_polygon(point, fewer) for point in points) <= tolerance + 1e-9


def test_known_simplification() -> None:
    points = np.array([[0, 0], [5, 1], [10, 0], [10, 10], [5, 9], [0, 10]])
    assert simplify(points, 1.0).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10]]
    assert simplify(points, 0.9).tolist() == points.tolist()
    assert simplify(points, 0).tolist() == points.tolist()


def test_outlines_are_simplified_on_the_way() -> None:
    y, x = np.mgrid[:120, :120]
    disc = rle.encode(np.hypot(x - 60, y - 60) < 50)
    (full,) = rle_to_contours(disc)
    (few,) = rle_to_contours(disc, tolerance_px=2)
    assert len(few.points) < 20 < len(full.points)


def test_wrong_input() -> None:
    with pytest.raises(InvalidInput, match="tolerance"):
        rle_to_contours(rle.encode(np.ones((2, 2), np.uint8)), tolerance_px=-1)
    for points in (np.zeros((3, 3), int), np.zeros((3, 2))):
        with pytest.raises(InvalidInput, match="integer points"):
            simplify(points, 1)
