"""Masks assembled from prototypes, boxes in whole pixels."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.families.mask_rule import Frame
from segserve.families.prototype_masks import PrototypeMasks
from segserve.families.shapes import Placement
from segserve.ops import rle

FRAME = Frame((40, 80), Placement((20, 20), (20, 20)))


def columns() -> dict[str, np.ndarray]:
    prototypes = np.zeros((10, 10, 2), np.float32)
    prototypes[:, :5, 0] = 1
    prototypes[..., 1] = 1
    return {
        "scores": np.ones(3, np.float32),
        "boxes": np.array([[0, 0, 1, 1], [0.9, 0.8, 0.11, 0.26], [-0.2, 0, 1.3, 2]], np.float32),
        "coefficients": np.array([[20, -10], [0, 9], [0, -9]], np.float32),
        "prototypes": prototypes,
    }


def test_masks_are_signed_sums_cut_to_their_boxes() -> None:
    placed = PrototypeMasks().place(columns(), np.arange(3), FRAME)
    assert placed.rows.tolist() == [0, 1, 2]
    left, cut, empty = (rle.decode(mask).astype(bool) for mask in placed.masks)
    assert left[:, :38].all()
    assert not left[:, 42:].any()
    assert 0 < cut.sum() < 40 * 80
    assert not cut[:, :4].any()
    assert not empty.any()


def test_boxes_are_ordered_cut_and_rounded_towards_zero() -> None:
    placed = PrototypeMasks().place(columns(), np.array([1, 2, 0]), FRAME)
    assert placed.boxes.tolist() == [[8, 10, 72, 32], [0, 0, 80, 40], [0, 0, 80, 40]]
    assert placed.boxes.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "shape"), [("boxes", (3, 5)), ("coefficients", (3, 3)), ("prototypes", (10, 2))]
)
def test_columns_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendFailed, match=f"'{name}' must be"):
        PrototypeMasks().check({**columns(), name: np.zeros(shape, np.float32)})
    PrototypeMasks().check(columns())
