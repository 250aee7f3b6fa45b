"""Contours filled at the source's size."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.contour_masks import ContourMasks
from segserve.families.factory import build_family
from segserve.families.mask_rule import Frame
from segserve.families.shapes import Placement
from segserve.ops import rle

# A picture of 20 x 40 stretched to 40 x 60: 1.5 across, 2 down.
FRAME = Frame((20, 40), Placement((40, 60), (40, 60)))


def columns() -> dict[str, np.ndarray]:
    square = np.array([[3, 12, 12, 3], [4, 4, 17, 17]], np.float32)
    return {
        "scores": np.ones(2, np.float32),
        "boxes": np.array([[3, 4, 12, 17], [0, 0, 59, 39]], np.float32),
        "contours": np.stack([square, square * 0]),
    }


def test_corners_are_truncated_and_part_of_the_mask() -> None:
    pytest.importorskip("cv2")
    placed = ContourMasks().place(columns(), np.array([1, 0]), FRAME)
    mask = np.zeros((20, 40), np.uint8)
    mask[2:9, 2:9] = 1  # x 2..8 and y 2..8.5, whose fraction goes
    assert np.array_equal(rle.decode(placed.masks[1]), mask)
    assert rle.area(placed.masks[0]) == 1, "a point is drawn"
    assert placed.rows.tolist() == [0, 1]


def test_boxes_are_scaled_side_by_side() -> None:
    pytest.importorskip("cv2")
    placed = ContourMasks().place(columns(), np.array([0, 1]), FRAME)
    assert placed.boxes.tolist() == [[2, 2, 8, 8.5], [0, 0, np.float32(59 / 1.5), 19.5]]


@pytest.mark.parametrize(
    ("name", "shape"),
    [("boxes", (2, 5)), ("contours", (2, 36)), ("contours", (3, 2, 4)), ("contours", (2, 2, 0))],
)
def test_columns_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendFailed, match=f"'{name}' must be"):
        ContourMasks().check({**columns(), name: np.zeros(shape, np.float32)})


def test_it_tells_how_masks_are_made() -> None:
    assert ContourMasks().describe() == {"mask_rule": "contour"}


def test_the_configuration_chooses_it() -> None:
    pytest.importorskip("cv2")
    columns = {"scores": (5,), "labels": (5,), "boxes": (5, 4), "contours": (5, 2, 36)}
    family = build_family(
        {"family": "instance", "mask_rule": "contour"},
        (),
        (TensorSpec("image", DataType.FP32, (3, -1, -1)),),
        tuple(TensorSpec(name, DataType.FP32, dims) for name, dims in columns.items()),
    )
    assert family.describe()["mask_rule"] == "contour"
