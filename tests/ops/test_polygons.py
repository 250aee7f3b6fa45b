"""Filled polygons against OpenCV."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.polygons import fill_polygons_to_rle


def by_opencv(contour: np.ndarray, h: int, w: int) -> np.ndarray:
    cv2 = pytest.importorskip("cv2")
    canvas = np.zeros((h, w), np.uint8)
    return cv2.drawContours(canvas, [contour[:, None].astype(np.int32)], -1, 1, cv2.FILLED)


@pytest.mark.parametrize("corners", [1, 2, 3, 4, 7, 36])
@pytest.mark.parametrize("reach", [(0, 0), (30, 45)])
def test_equals_opencv(corners: int, reach: tuple[int, int]) -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(corners)
    dy, dx = reach
    contours = rng.integers([-dx, -dy], [90 + dx, 60 + dy], (40, corners, 2))
    got = fill_polygons_to_rle(contours, 60, 90)
    want = [rle.encode(by_opencv(contour, 60, 90)) for contour in contours]
    assert list(got) == want


def test_stars_equal_opencv() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    angle = np.arange(36) * np.pi / 18
    radius = rng.uniform(5, 60, (30, 36))
    centre = rng.uniform(0, 100, (30, 1, 2))
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2) + centre
    contours = points.astype(np.int64)
    got = fill_polygons_to_rle(contours, 97, 111)
    assert list(got) == [rle.encode(by_opencv(contour, 97, 111)) for contour in contours]


def test_known_square() -> None:
    pytest.importorskip("cv2")
    square = np.array([[[2, 1], [5, 1], [5, 3], [2, 3]]])
    (got,) = fill_polygons_to_rle(square, 6, 8)
    assert rle.to_bbox(got) == (2, 1, 6, 4)
    assert rle.area(got) == 12


def test_none_and_wrong_input() -> None:
    assert fill_polygons_to_rle(np.zeros((0, 36, 2), np.int64), 5, 5) == ()
    for contours in (np.zeros((1, 3, 2)), np.zeros((1, 0, 2), int), np.zeros((3, 2), int)):
        with pytest.raises(InvalidInput, match="integer contours"):
            fill_polygons_to_rle(contours, 5, 5)
