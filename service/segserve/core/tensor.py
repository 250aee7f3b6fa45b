"""Tensors as they cross borders: names, datatypes, shapes, and the check of one against a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
"""Arrays by tensor name. BYTES tensors are object arrays whose elements are bytes-like."""


class DataType(Enum):
    """KServe v2's datatype names; ``BF16`` travels as its uint16 bit patterns."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"
    BF16 = "BF16"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The little-endian numpy dtype of one element (``object`` for BYTES)."""
        return _NUMPY[self]

    @property
    def item_bytes(self) -> int:
        """Bytes of one element on the wire; 0 for BYTES, whose elements vary."""
        return 0 if self is DataType.BYTES else _NUMPY[self].itemsize

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> DataType:
        """Name the datatype that a numpy dtype stands for (uint16 is UINT16, never BF16).

        Raises
        ------
        InvalidInput
            When KServe v2 has no name for the dtype.
        """
        if dtype.kind in "OSU":
            return cls.BYTES
        try:
            return _BY_NUMPY[dtype.newbyteorder("<")]
        except KeyError:
            raise InvalidInput(f"numpy dtype {dtype} has no KServe v2 datatype") from None


_NUMPY: dict[DataType, np.dtype[Any]] = {
    DataType.BOOL: np.dtype("?"),
    DataType.UINT8: np.dtype("u1"),
    DataType.UINT16: np.dtype("<u2"),
    DataType.UINT32: np.dtype("<u4"),
    DataType.UINT64: np.dtype("<u8"),
    DataType.INT8: np.dtype("i1"),
    DataType.INT16: np.dtype("<i2"),
    DataType.INT32: np.dtype("<i4"),
    DataType.INT64: np.dtype("<i8"),
    DataType.FP16: np.dtype("<f2"),
    DataType.FP32: np.dtype("<f4"),
    DataType.FP64: np.dtype("<f8"),
    DataType.BYTES: np.dtype(object),
    DataType.BF16: np.dtype("<u2"),
}
_BY_NUMPY = {v: k for k, v in _NUMPY.items() if k not in (DataType.BYTES, DataType.BF16)}


def content_bytes(array: Array) -> int:
    """Give the bytes of an array's elements, of BYTES elements too."""
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Parameters
    ----------
    name : str
    dtype : DataType
    dims : tuple of int
        Shape without the batch axis; -1 is free.
    optional : bool
        The request may leave this input out.
    """

    name: str
    dtype: DataType
    dims: tuple[int, ...]
    optional: bool = False

    def full_shape(self, *, batched: bool) -> tuple[int, ...]:
        """`dims`, with a free batch axis in front when the model batches."""
        return (-1, *self.dims) if batched else self.dims

    def accepts(self, shape: tuple[int, ...], *, batched: bool) -> bool:
        """Whether `shape` (batch axis included when `batched`) fits this spec."""
        want = self.full_shape(batched=batched)
        return len(shape) == len(want) and all(
            w in (-1, got) and got >= 0 for w, got in zip(want, shape, strict=True)
        )
