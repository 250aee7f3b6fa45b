"""Slabs: neighbouring rows, fresh ones when full, few kept open."""

import numpy as np

from segserve.scheduling.batch import stack
from segserve.scheduling.slab import SlabAllocator


def test_slab_rows_follow_one_another_and_start_over():
    slabs = SlabAllocator(2)
    rows = [slabs.row({"x": (3,)})["x"] for _ in range(3)]
    assert np.shares_memory(stack(rows[:2]), rows[0])
    assert not np.shares_memory(stack(rows[1:]), rows[1])
    assert rows[0].dtype == np.float32
    assert rows[0].flags.writeable


def test_slabs_of_different_shapes_do_not_mix_and_old_ones_are_let_go():
    slabs = SlabAllocator(2)
    first = slabs.row({"x": (1,)})["x"]
    for size in range(2, 8):
        slabs.row({"x": (size,)})
    again = slabs.row({"x": (1,)})["x"]
    assert again.base is not first.base


def test_rows_have_their_own_datatypes():
    row = SlabAllocator(2).row({"x": (3,), "y": (2,)}, {"x": np.dtype(np.uint8)})
    assert (row["x"].dtype, row["y"].dtype) == (np.uint8, np.float32)
