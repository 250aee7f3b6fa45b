"""Tensors in JSON: nested or flat lists in, flat lists out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array, DataType
from segserve.transport import tensor_bytes
from segserve.transport.tensor_bytes import Declared

_NO_JSON = (DataType.FP16, DataType.BF16)
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


def decode_data(declared: Declared, data: object) -> Array:
    """Read an input's ``data``.

    Raises
    ------
    InvalidInput
        When the elements are not of the datatype, or not as many as the shape says.
    """
    if declared.dtype in _NO_JSON:
        raise InvalidInput(
            f"receiving {declared.dtype.value} data via JSON is not supported. Please use the "
            f"binary data format for input '{declared.name}'"
        )
    if not isinstance(data, list):
        raise _unreadable(declared, "expected a list")
    if declared.dtype is DataType.BYTES:
        return tensor_bytes.fill(declared, list(_strings(declared, data)))
    array = _numbers(declared, data)
    if array.size != declared.count:
        raise _unreadable(
            declared,
            f"expected {declared.count} elements by shape {list(declared.shape)}, got {array.size}",
        )
    if array.size == 0:
        return tensor_bytes.empty(declared)
    return array.reshape(declared.shape)


def _unreadable(declared: Declared, why: str) -> InvalidInput:
    return InvalidInput(
        f"unable to parse 'data' of input '{declared.name}' for model '{declared.model}': {why}"
    )


def _strings(declared: Declared, data: list[object]) -> Iterator[bytes]:
    """Give the strings of a nested list, without recursion: the caller chooses the depth."""
    levels: list[Iterator[object]] = [iter(data)]
    while levels:
        for item in levels[-1]:
            if isinstance(item, list):
                levels.append(iter(item))
                break
            if not isinstance(item, str):
                raise _unreadable(declared, f"expected strings, got {type(item).__name__}")
            try:
                yield item.encode()
            except UnicodeEncodeError as error:
                raise _unreadable(declared, str(error)) from None
        else:
            levels.pop()


def _numbers(declared: Declared, data: list[object]) -> Array:
    want = declared.dtype.numpy
    try:
        array = np.array(data)
        if array.dtype.kind == "f" and declared.dtype is DataType.UINT64:
            array = _unsigned(data)
    except (ValueError, OverflowError) as error:
        raise _unreadable(declared, str(error)) from None
    if array.size == 0:
        return array
    if array.dtype.kind not in _KINDS[want.kind]:
        raise _unreadable(declared, f"expected a list of {declared.dtype.value} elements")
    if want.kind in "iu":
        limits = np.iinfo(want)
        if array.min() < limits.min or array.max() > limits.max:
            raise _unreadable(declared, f"an element does not fit {declared.dtype.value}")
    try:
        with np.errstate(over="raise"):
            return array.astype(want, copy=False)
    except FloatingPointError:
        raise _unreadable(declared, f"an element does not fit {declared.dtype.value}") from None


def _unsigned(data: list[object]) -> Array:
    """Read integers of which some are over 2^63 and some are not, which numpy makes floats."""
    array = np.array(data, dtype=object)
    if not all(isinstance(item, int) for item in array.reshape(-1)):
        raise ValueError("expected integers")
    return array.astype(np.uint64)


def encode_data(name: str, array: Array) -> list[object]:
    """Write an output's ``data`` as a flat list.

    Raises
    ------
    InvalidInput
        When the output cannot stand in JSON: half precision, or bytes that are no UTF-8.
    """
    dtype = tensor_bytes.datatype_of(array)
    if dtype in _NO_JSON:
        raise InvalidInput(
            f"sending {dtype.value} data via JSON is not supported. Please use the binary data "
            f"format for output '{name}'"
        )
    if dtype is not DataType.BYTES:
        values: list[object] = array.reshape(-1).tolist()
        return values
    try:
        return [bytes(element).decode() for element in tensor_bytes.element_bytes(array)]
    except UnicodeDecodeError:
        raise InvalidInput(
            f"output '{name}' holds bytes that are no UTF-8 text and cannot stand in JSON. Please "
            f"use the binary data format for it"
        ) from None
