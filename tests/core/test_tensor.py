"""Datatypes and specs."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.tensor import DataType, TensorSpec


def test_every_numeric_datatype_round_trips_through_numpy():
    for datatype in DataType:
        if datatype not in (DataType.BYTES, DataType.BF16):
            assert DataType.of(datatype.numpy) is datatype
            assert datatype.item_bytes == datatype.numpy.itemsize


def test_bytes_and_unknown_dtypes():
    assert DataType.of(np.dtype(object)) is DataType.BYTES
    assert DataType.of(np.dtype(">f4")) is DataType.FP32
    assert DataType.BYTES.item_bytes == 0
    with pytest.raises(InvalidInput, match="complex64"):
        DataType.of(np.dtype(np.complex64))


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((1, 3, 5, 6), True),
        ((7, 3, 1, 1), True),
        ((1, 4, 5, 6), False),
        ((3, 5, 6), False),
        ((1, 3, 5, 6, 7), False),
        ((1, 3, -5, 6), False),
    ],
)
def test_shapes_against_a_spec(shape, fits):
    spec = TensorSpec("x", DataType.FP32, (3, -1, -1))
    assert spec.accepts(shape, batched=True) is fits
    assert spec.full_shape(batched=True) == (-1, 3, -1, -1)
    assert spec.full_shape(batched=False) == (3, -1, -1)
