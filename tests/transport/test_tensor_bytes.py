"""Tensors to bytes and back."""

import struct

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.tensor import DataType
from segserve.transport.tensor_bytes import (
    MAX_BYTES_ELEMENTS,
    declare,
    decode_raw,
    encode_raw,
    size_bytes,
)

NUMERIC = [d for d in DataType if d is not DataType.BYTES]


def back(array):
    return b"".join([encode_raw(array)])


@pytest.mark.parametrize("dtype", NUMERIC)
def test_numbers_are_views_of_the_message(dtype):
    data = bytes(range(1, 1 + 6 * dtype.item_bytes)) if dtype is not DataType.BOOL else b"\1\0" * 3
    array = decode_raw(declare("m", "x", dtype.value, (2, 3)), memoryview(data))
    assert array.dtype == dtype.numpy
    assert array.shape == (2, 3)
    assert not array.flags.writeable
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert back(array) == data
    assert size_bytes(encode_raw(array)) == len(data)


def test_strings():
    data = b"".join(struct.pack("<I", len(s)) + s for s in (b"a", b"", b"\xff" * 300))
    array = decode_raw(declare("m", "x", "BYTES", (3, 1)), data)
    assert array.shape == (3, 1)
    assert [bytes(v) for v in array.reshape(-1)] == [b"a", b"", b"\xff" * 300]
    assert back(array) == data
    assert back(np.array(["ä", "b"])) == b"\2\0\0\0\xc3\xa4\1\0\0\0b"


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0, 2)])
@pytest.mark.parametrize("dtype", ["FP32", "BYTES"])
def test_empty(shape, dtype):
    array = decode_raw(declare("m", "x", dtype, shape), b"")
    assert array.shape == shape
    assert back(array) == b""


def test_scalar_and_strided():
    assert decode_raw(declare("m", "x", "INT32", ()), b"\5\0\0\0") == 5
    strided = np.arange(12, dtype=np.int16).reshape(3, 4).T
    assert back(strided) == strided.tobytes()
    assert back(np.array([1], ">u4")) == b"\1\0\0\0"


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "text"),
    [
        ("FP32", (2,), b"1234567", "Expected 8, got 7"),
        ("FP32", (2**62, 2**62), b"", "input byte size mismatch"),
        ("FP32", (0, 2**62, 2**62), b"", "too large"),
        ("INT4", (2,), b"", "unknown data-type 'INT4'"),
        ("FP32", (-1,), b"", "negative dimension"),
        ("BYTES", (1,), b"\1\0\0", "incomplete length"),
        ("BYTES", (1,), b"\2\0\0\0a", "ends at byte 6 of only 5"),
        ("BYTES", (2,), b"\1\0\0\0a", "expected 2 string elements"),
        ("BYTES", (1,), bytes(4 * MAX_BYTES_ELEMENTS + 4), "at most"),
    ],
)
def test_what_does_not_fit_is_named(datatype, shape, data, text):
    with pytest.raises(InvalidInput, match=text) as caught:
        decode_raw(declare("m", "x", datatype, shape), data)
    assert "'x'" in caught.value.message
    assert "'m'" in caught.value.message
