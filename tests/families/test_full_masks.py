"""Masks over the network's padded input, at the source's size."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.factory import build_family
from segserve.families.full_masks import FullMasks
from segserve.families.mask_rule import Frame
from segserve.families.shapes import Placement
from segserve.ops import rle

# A picture of 24 x 32 enlarged to 48 x 64, padded to 64 x 64; masks at stride 4.
FRAME = Frame((24, 32), Placement((64, 64), (48, 64)))


def columns() -> dict[str, np.ndarray]:
    masks = np.zeros((3, 16, 16), np.float32)
    masks[0] = 1
    masks[1, :6] = 0.75
    masks[1, 12:] = 1  # padding alone
    return {"scores": np.ones(3, np.float32), "masks": masks}


def test_padding_is_cut_off_and_boxes_are_tight() -> None:
    placed = FullMasks().place(columns(), np.array([1, 0, 2]), FRAME)
    assert placed.rows.tolist() == [0, 1, 2]
    whole = rle.decode(placed.masks[1])
    assert whole.shape == (24, 32)
    assert whole.all()
    # Half of the content's height, where 0.75 falls to 0.5 between rows 5 and 6 of the grid.
    assert placed.boxes.tolist() == [[0, 0, 32, 12], [0, 0, 32, 24], [0, 0, 0, 0]]
    assert [rle.area(mask) for mask in placed.masks] == [32 * 12, 32 * 24, 0]


def test_the_threshold_must_be_exceeded() -> None:
    outputs = {**columns(), "masks": np.full((3, 16, 16), 0.5, np.float32)}
    rows = np.array([0])
    assert rle.area(FullMasks().place(outputs, rows, FRAME).masks[0]) == 0
    assert rle.area(FullMasks(0.4).place(outputs, rows, FRAME).masks[0]) == 24 * 32


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 4), (3, 0, 4)])
def test_columns_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(BackendFailed, match="'masks' must be"):
        FullMasks().check({**columns(), "masks": np.zeros(shape, np.float32)})


def test_it_tells_how_masks_are_made() -> None:
    assert FullMasks(0.25).describe() == {"mask_rule": "full", "mask_threshold": 0.25}
    assert FullMasks().columns == ("masks",)


def test_the_configuration_chooses_it() -> None:
    columns = {"scores": (5,), "labels": (5,), "masks": (5, -1, -1)}
    family = build_family(
        {"family": "instance", "mask_rule": "full", "mask_threshold": "0.25"},
        (),
        (TensorSpec("image", DataType.FP32, (3, -1, -1)),),
        tuple(TensorSpec(name, DataType.FP32, dims) for name, dims in columns.items()),
    )
    assert family.describe()["mask_rule"] == "full"
    assert family.describe()["mask_threshold"] == 0.25
