"""Components, small parts and holes on runs against OpenCV on pixels, and known answers."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.components import (
    fill_holes,
    find_components,
    remove_small_components,
    split_components,
)

RING = np.array(
    [
        [0, 1, 1, 1, 0, 0],
        [1, 0, 0, 1, 0, 1],
        [1, 0, 1, 1, 0, 0],
        [0, 1, 1, 0, 1, 1],
    ],
    np.uint8,
)


def picture(seed: int, shape=(40, 55)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.random((-(-shape[0] // 2), -(-shape[1] // 3))) < 0.5
    return np.kron(coarse, np.ones((2, 3), bool))[: shape[0], : shape[1]] ^ (
        rng.random(shape) < 0.1
    )


def by_opencv(mask: np.ndarray, connectivity: int) -> list[np.ndarray]:
    cv2 = pytest.importorskip("cv2")
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return [labels == n for n in range(1, count)]


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_equals_opencv(seed: int, connectivity: int) -> None:
    mask = picture(seed)
    parts = by_opencv(mask, connectivity)
    got = split_components(rle.encode(mask), connectivity)
    assert {part.counts for part in got} == {rle.encode(part).counts for part in parts}
    assert len(got) == len(parts)
    kept = np.any([part for part in parts if part.sum() >= 5], axis=0)
    assert remove_small_components(rle.encode(mask), 5, connectivity) == rle.encode(kept)
    holes = by_opencv(~mask, 12 - connectivity)
    inner = [h for h in holes if not (h[0] | h[-1]).any() and not (h[:, 0] | h[:, -1]).any()]
    filled = np.any([mask, *inner], axis=0)
    assert fill_holes(rle.encode(mask), None, connectivity) == rle.encode(filled)
    small = np.any([mask, *(h for h in inner if h.sum() <= 2)], axis=0)
    assert fill_holes(rle.encode(mask), 2, connectivity) == rle.encode(small)


def test_known_parts() -> None:
    found = find_components(rle.encode(RING), 4)
    assert found.areas_px.tolist() == [2, 8, 2, 1]
    assert found.touches_border.tolist() == [True] * 4
    assert find_components(rle.encode(RING), 8).areas_px.tolist() == [12, 1]


def test_a_ring_is_closed_by_its_corners_only_when_they_connect() -> None:
    closed = RING.copy()
    closed[1, 1:3] = 1
    closed[2, 1] = 1
    assert fill_holes(rle.encode(RING), None, 8) == rle.encode(closed)
    assert fill_holes(rle.encode(RING), None, 4) == rle.encode(RING)
    assert fill_holes(rle.encode(RING), 2, 8) == rle.encode(RING)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 5), (0, 4)])
@pytest.mark.parametrize("value", [0, 1])
def test_plain_masks_stay(shape, value: int) -> None:
    mask = rle.encode(np.full(shape, value, np.uint8))
    assert fill_holes(mask) == mask
    assert remove_small_components(mask, 1) == mask
    area = shape[0] * shape[1] * value
    assert find_components(mask).areas_px.tolist() == ([area] if area else [])


def test_wrong_connectivity() -> None:
    mask = rle.encode(np.ones((2, 2), np.uint8))
    for call in (find_components, split_components):
        with pytest.raises(InvalidInput, match="4 or 8, got 6"):
            call(mask, 6)
    with pytest.raises(InvalidInput, match="4 or 8, got 6"):
        fill_holes(mask, None, 6)
