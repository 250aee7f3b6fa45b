"""Tensors in JSON."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.tensor import DataType
from segserve.transport.http.tensor_json import decode_data, encode_data
from segserve.transport.tensor_bytes import declare


@pytest.mark.parametrize("dtype", [d for d in DataType if d.value not in ("FP16", "BF16", "BYTES")])
def test_round_trip(dtype):
    data = [[True, False]] if dtype is DataType.BOOL else [[0, 100]]
    array = decode_data(declare("m", "x", dtype.value, [1, 2]), data)
    assert array.dtype == dtype.numpy
    assert encode_data("x", array) == data[0]


def test_strings_of_any_depth():
    data = ["a"]
    for _ in range(5000):
        data = [data]
    array = decode_data(declare("m", "x", "BYTES", [1]), data)
    assert encode_data("x", array) == ["a"]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [0, 1]),
        ("INT8", [0, 128]),
        ("UINT8", [0, -1]),
        ("INT64", [0.0, 1.0]),
        ("FP32", ["1", "2"]),
        ("FP32", [None, 1]),
        ("FP32", [{}, 1]),
        ("FP32", {"0": 1}),
        ("FP32", [[1], 2]),
    ],
)
def test_elements_of_another_kind(datatype, data):
    with pytest.raises(InvalidInput, match="unable to parse 'data' of input 'x' for model 'm'"):
        decode_data(declare("m", "x", datatype, [2]), data)


def test_half_precision_stays_out():
    with pytest.raises(InvalidInput, match="sending FP16 data via JSON"):
        encode_data("x", np.zeros(1, np.float16))
