"""What a pickle said about tensors and arrays, unread until somebody wants the values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

_CODES = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[SU][0-9]{1,6})")


class Sealed:
    """Refuses the state that a pickle would set on it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        """Refuse."""
        raise InvalidInput(f"the checkpoint tries to change a {type(self).__name__}")


class PlainDict(dict[Any, Any]):
    """Any mapping of a checkpoint; attributes that ``torch.save`` sets on it are dropped."""

    def __setstate__(self, state: object) -> None:
        """Drop ``_metadata`` and the like."""


class PlainNamespace:
    """The flags of the program that wrote the file (``argparse.Namespace``), dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Drop them."""


@dataclass(frozen=True)
class StorageRecord(Sealed):
    """A run of elements in the file.

    Parameters
    ----------
    key : str
        Name of the record that holds it.
    dtype : str
        torch's name, without ``torch.``; ``uint8`` for an untyped storage.
    elements : int
        Of the whole record.
    first : int
        Element at which a view begins (old files).
    """

    key: str
    dtype: str
    elements: int
    first: int = 0


@dataclass(frozen=True)
class TensorRecord(Sealed):
    """A strided tensor on a storage.

    Parameters
    ----------
    storage : StorageRecord
        Where the values are.
    dtype : str
        Of the tensor; differs from the storage's only when that is untyped.
    offset : int
        First element.
    size, stride : tuple of int
        In elements.
    """

    storage: StorageRecord
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def load(self, read: Callable[[StorageRecord], bytes]) -> Tensor:
        """Give the tensor.

        Parameters
        ----------
        read : callable
            Gives a storage's bytes.

        Raises
        ------
        InvalidInput
            The size does not fit the storage.
        """
        numbers = (*self.size, *self.stride, self.offset, self.storage.first)
        if any(type(n) is not int or n < 0 for n in numbers) or len(self.size) != len(self.stride):
            raise InvalidInput(f"the checkpoint holds a tensor of size {str(self.size)[:80]}")
        dtype: torch.dtype = getattr(torch, self.dtype)
        data = bytearray(read(self.storage))
        elements = len(data) // dtype.itemsize
        offset = self.offset + self.storage.first
        last = offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if math.prod(self.size) == 0:
            return torch.empty(self.size, dtype=dtype)
        if last >= elements:
            raise InvalidInput(
                f"the checkpoint holds a tensor of size {self.size} that reaches element {last} "
                f"of a storage of {elements}: the file is damaged"
            )
        flat = torch.frombuffer(data, dtype=dtype, count=elements)
        return flat.as_strided(self.size, self.stride, offset)


class DtypeRecord:
    """A numpy dtype: a number or a fixed-length text; objects and structures are refused."""

    def __init__(self, code: str) -> None:
        if not _CODES.fullmatch(code):
            raise InvalidInput(f"the checkpoint holds numpy values of dtype {code[:40]!r}")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """Take the byte order, second of the fields that numpy writes."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):  # noqa: PLR2004  version, order, ...
            raise InvalidInput("the checkpoint holds a numpy dtype with an unknown state")
        self.dtype = self.dtype.newbyteorder(state[1])


class ArrayRecord:
    """A numpy array or scalar."""

    def __init__(self) -> None:
        self._array: Array | None = None

    def __setstate__(self, state: Any) -> None:
        """Take version, shape, dtype, Fortran order and bytes, as numpy writes them."""
        if not isinstance(state, tuple) or len(state) != 5:  # noqa: PLR2004  the five above
            raise InvalidInput("the checkpoint holds a numpy array with an unknown state")
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # Python 2 wrote bytes as text
            data = data.encode("latin-1")
        if not isinstance(dtype, DtypeRecord) or not isinstance(data, (bytes, bytearray)):
            raise InvalidInput("the checkpoint holds a numpy array of objects")
        flat = np.frombuffer(data, dtype.dtype)
        self._array = flat.reshape(tuple(shape), order="F" if fortran else "C")

    def load(self) -> Tensor:
        """Give the values as a tensor.

        Raises
        ------
        InvalidInput
            They are no numbers, or were never set.
        """
        if self._array is None or self._array.dtype.kind in "SU":
            raise InvalidInput("the checkpoint holds a numpy array without numbers")
        native = self._array.astype(self._array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(np.array(native, copy=True))
