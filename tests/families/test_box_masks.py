"""Masks pasted into their boxes, at the source's size."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.families.box_masks import BoxMasks
from segserve.families.mask_rule import Frame
from segserve.families.shapes import Placement
from segserve.ops import rle

FRAME = Frame((20, 40), Placement((10, 20), (10, 20)))


def columns() -> dict[str, np.ndarray]:
    return {
        "scores": np.ones(2, np.float32),
        "boxes": np.array([[0, 0, 5, 5], [10, 0, 20, 10]], np.float32),
        "masks": np.stack([np.ones((28, 28)), np.zeros((28, 28))]).astype(np.float32),
    }


def test_rows_come_in_the_order_asked_for() -> None:
    placed = BoxMasks().place(columns(), np.array([1, 0]), FRAME)
    assert placed.rows.tolist() == [0, 1]
    assert placed.boxes.tolist() == [[20, 0, 40, 20], [0, 0, 10, 10]]
    assert [rle.area(mask) for mask in placed.masks] == [0, 100]
    assert (placed.masks[0].height_px, placed.masks[0].width_px) == (20, 40)


def test_the_threshold_belongs_to_the_mask() -> None:
    placed = BoxMasks(threshold=0.0).place(columns(), np.array([1]), FRAME)
    assert rle.area(placed.masks[0]) >= 400


@pytest.mark.parametrize(
    ("name", "shape"), [("boxes", (2, 5)), ("masks", (2, 28)), ("masks", (3, 2, 2))]
)
def test_columns_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendFailed, match=f"'{name}' must be"):
        BoxMasks().check({**columns(), name: np.zeros(shape, np.float32)})
