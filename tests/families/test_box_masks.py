"""Masks pasted into their boxes, at the source's size."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.families.box_masks import BoxMasks, Paste
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


def test_detectron2_drops_boxes_that_are_empty_in_the_source() -> None:
    outside = columns()
    outside["boxes"][0] = [25, 0, 30, 5]
    placed = BoxMasks().place(outside, np.array([0, 1]), FRAME)
    assert placed.rows.tolist() == [1]
    assert (len(placed.boxes), len(placed.masks)) == (1, 1)
    kept = BoxMasks(paste=Paste.TORCHVISION).place(outside, np.array([0, 1]), FRAME)
    assert kept.rows.tolist() == [0, 1]


def test_torchvision_widens_boxes() -> None:
    half = {**columns(), "boxes": np.array([[1.2, 1.2, 3, 3]] * 2, np.float32)}
    areas = [
        rle.area(BoxMasks(paste=paste).place(half, np.array([0]), FRAME).masks[0])
        for paste in (Paste.DETECTRON2, Paste.TORCHVISION)
    ]
    assert areas == [16, 25]


def test_described() -> None:
    described = BoxMasks(0.25, Paste.TORCHVISION).describe()
    assert described == {"mask_rule": "box", "mask_paste": "torchvision", "mask_threshold": 0.25}
