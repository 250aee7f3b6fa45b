"""Tensors to bytes and back, by KServe v2's binary layout.

Little-endian, row-major; a BOOL is one byte; a BYTES element is a 32-bit length and its bytes.
Arrays that come out of `decode_raw` are read-only views of the message wherever that is possible.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array, DataType

Buffer = bytes | memoryview
MAX_RANK = 32
MAX_BYTES_ELEMENTS = 1 << 20
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Declared:
    """One input as the request declares it.

    Parameters
    ----------
    model, name : str
        For messages.
    dtype : DataType
    shape : tuple of int >= 0
    """

    model: str
    name: str
    dtype: DataType
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Elements that the shape stands for."""
        return math.prod(self.shape)

    def wrong(self, text: str) -> InvalidInput:
        """Give the error that names this tensor."""
        return InvalidInput(f"{text} for input '{self.name}' for model '{self.model}'")


def declare(model: str, name: str, datatype: str, shape: Sequence[int]) -> Declared:
    """Check a declaration as far as it can be checked without the model.

    Raises
    ------
    InvalidInput
        For an unknown datatype, a negative dimension, or too many dimensions.
    """
    try:
        dtype = DataType(datatype)
    except ValueError:
        known = ", ".join(d.value for d in DataType)
        raise InvalidInput(
            f"inference input '{name}' for model '{model}' has unknown data-type '{datatype}'; "
            f"expected one of {known}"
        ) from None
    declared = Declared(model, name, dtype, tuple(shape))
    if len(declared.shape) > MAX_RANK:
        raise declared.wrong(f"at most {MAX_RANK} dimensions expected, got {len(shape)}")
    if any(dim < 0 for dim in declared.shape):
        raise declared.wrong(f"negative dimension in shape {list(shape)}")
    return declared


def decode_raw(declared: Declared, data: Buffer) -> Array:
    """View the bytes of a tensor as an array.

    Returns
    -------
    Array
        Of the declared shape; read-only. BYTES gives an object array of memoryviews.

    Raises
    ------
    InvalidInput
        When the number of bytes does not fit the shape.
    """
    if declared.dtype is DataType.BYTES:
        return fill(declared, split_elements(declared, memoryview(data)))
    want_bytes = declared.count * declared.dtype.item_bytes
    if len(data) != want_bytes:
        raise InvalidInput(
            f"input byte size mismatch for input '{declared.name}' for model "
            f"'{declared.model}'. Expected {want_bytes}, got {len(data)}"
        )
    if want_bytes == 0:
        return empty(declared)
    return np.frombuffer(data, dtype=declared.dtype.numpy).reshape(declared.shape)


def empty(declared: Declared) -> Array:
    """Give an array without elements, of the declared shape."""
    try:
        return np.empty(declared.shape, dtype=declared.dtype.numpy)
    except (ValueError, MemoryError):
        raise declared.wrong(f"shape {list(declared.shape)} is too large") from None


def fill(declared: Declared, elements: Sequence[Buffer]) -> Array:
    """Put byte strings into an object array of the declared shape.

    Raises
    ------
    InvalidInput
        When their number does not fit the shape.
    """
    if len(elements) != declared.count:
        raise InvalidInput(
            f"expected {declared.count} string elements for inference input '{declared.name}' for "
            f"model '{declared.model}', got {len(elements)}"
        )
    if not elements:
        return empty(declared)
    column = np.empty(len(elements), dtype=object)
    for n, element in enumerate(elements):  # slice assignment would take views for rows of numbers
        column[n] = element
    return column.reshape(declared.shape)


def split_elements(declared: Declared, data: memoryview) -> list[memoryview]:
    """Split a BYTES tensor into its elements, without copying them.

    Raises
    ------
    InvalidInput
        When a length runs over the end, or there are over a million elements.
    """
    elements: list[memoryview] = []
    at, end = 0, len(data)
    while at < end:
        start = at + _LENGTH.size
        if start > end:
            raise declared.wrong("incomplete length of a string element")
        at = start + _LENGTH.unpack_from(data, at)[0]
        if at > end:
            raise declared.wrong(
                f"string element {len(elements)} ends at byte {at} of only {end} bytes"
            )
        if len(elements) == MAX_BYTES_ELEMENTS:
            raise declared.wrong(f"at most {MAX_BYTES_ELEMENTS} string elements expected, got more")
        elements.append(data[start:at])
    return elements


def datatype_of(array: Array) -> DataType:
    """Name an output's datatype."""
    return DataType.of(array.dtype)


def element_bytes(array: Array) -> Iterable[Buffer]:
    """Give the elements of a string tensor as bytes, row-major."""
    for element in array.reshape(-1):
        yield element.encode() if isinstance(element, str) else element


def encode_raw(array: Array) -> Buffer | Array:
    """Give a tensor's bytes as something that has the buffer protocol; copies only if it must."""
    dtype = datatype_of(array)
    if dtype is not DataType.BYTES:
        return np.ascontiguousarray(array, dtype=dtype.numpy)
    parts: list[Buffer] = []
    for element in element_bytes(array):
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def size_bytes(data: Buffer | Array) -> int:
    """Bytes in what `encode_raw` gave."""
    return len(data) if isinstance(data, bytes) else data.nbytes
