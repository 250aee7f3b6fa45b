"""Filled polygons against OpenCV."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops import rle
from segserve.ops.polygons import coco_polygon_to_rle, fill_polygons_to_rle


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
    square = np.array([[[2, 1], [5, 1], [5, 3], [2, 3]]])
    (got,) = fill_polygons_to_rle(square, 6, 8)
    assert rle.to_bbox(got) == (2, 1, 6, 4)
    assert rle.area(got) == 12


def test_none_and_wrong_input() -> None:
    assert fill_polygons_to_rle(np.zeros((0, 36, 2), np.int64), 5, 5) == ()
    for contours in (np.zeros((1, 3, 2)), np.zeros((1, 0, 2), int), np.zeros((3, 2), int)):
        with pytest.raises(InvalidInput, match="integer contours"):
            fill_polygons_to_rle(contours, 5, 5)


def test_corners_far_away_do_no_harm() -> None:
    far = np.array([[[-(2**62), 3], [2**62, 3], [2, 2**40]], [[2**62, 2**62]] * 3])
    full, none = fill_polygons_to_rle(far, 6, 8)
    assert rle.area(full) > 0
    assert rle.area(none) == 0


@pytest.mark.parametrize("corners", [3, 4, 9, 40])
@pytest.mark.parametrize("reach", [0, 30])
def test_coco_polygons_equal_pycocotools(corners: int, reach: int) -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="needs the dev extra: make test")
    rng = np.random.default_rng(corners)
    for _ in range(25):
        points = rng.uniform([-reach, -reach], [90 + reach, 60 + reach], (corners, 2))
        if rng.random() < 0.5:
            points = np.round(points)
        want = tool.frPyObjects([points.reshape(-1).tolist()], 60, 90)[0]["counts"]
        assert coco_polygon_to_rle(points, 60, 90).counts == want


def test_coco_square_of_known_size() -> None:
    square = np.array([[1, 2], [4, 2], [4, 5], [1, 5]])
    got = coco_polygon_to_rle(square, 8, 8)
    assert rle.to_bbox(got) == (1, 2, 4, 5)
    assert rle.area(got) == 9


def test_wrong_coco_polygons() -> None:
    for points in (np.zeros((2, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan)):
        with pytest.raises(InvalidInput, match="expected"):
            coco_polygon_to_rle(points, 5, 5)
