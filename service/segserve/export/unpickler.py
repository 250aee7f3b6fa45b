"""A pickle reader that knows tensors, numpy arrays and plain containers, and nothing else.

Every name that a pickle asks for is looked up in one table of stand-ins written here. None of them
calls into torch or numpy with what the file says: they only note it, and `TensorRecord.load` and
`ArrayRecord.load` check the notes later. A name outside the table is refused before anything of it
is imported or run. The names are those that ``torch.save`` (``torch/_utils.py``,
``torch/_tensor.py``) and numpy (``numpy/_core/multiarray``) write.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn

from typing_extensions import override

from segserve.core.errors import InvalidInput
from segserve.export.records import (
    ArrayRecord,
    DtypeRecord,
    PlainDict,
    PlainNamespace,
    Sealed,
    StorageRecord,
    TensorRecord,
)

_DTYPES_BY_STORAGE = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_DTYPES = frozenset({*_DTYPES_BY_STORAGE.values(), "uint16", "uint32", "uint64"})
_NAMESPACE = "argparse.Namespace"
"""Made by its class, which a stand-in that is none cannot be; torchvision's training scripts keep
their flags beside the weights."""
_MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    MemoryError,
    RecursionError,
    ImportError,
)


class _StandIn(Sealed):
    """What the pickle gets for a name; calls `build`, and cannot be changed by the pickle."""

    __slots__ = ("_build", "name")
    name: str
    _build: Callable[..., Any] | None

    def __init__(self, name: str, build: Callable[..., Any] | None = None) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_build", build)

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise InvalidInput(f"the checkpoint tries to change {self.name}")

    def __call__(self, *args: Any) -> Any:
        if self._build is None:
            raise InvalidInput(f"the checkpoint tries to call {self.name}")
        return self._build(*args)


def _encode(text: str, codec: str = "utf-8") -> bytes:
    """``_codecs.encode``: how protocol 2 writes bytes."""
    if codec not in ("latin1", "latin-1") or not isinstance(text, str):
        raise InvalidInput(f"the checkpoint asks for the codec {codec!r}; expected latin1")
    return text.encode("latin-1")


def _plain_dict(pairs: Iterable[tuple[Any, Any]] | Mapping[Any, Any] = ()) -> PlainDict:
    return PlainDict(pairs)


def _default_dict(_factory: object = None, pairs: Iterable[tuple[Any, Any]] = ()) -> PlainDict:
    return PlainDict(pairs)


def _storage(value: object) -> StorageRecord:
    if not isinstance(value, StorageRecord):
        raise InvalidInput("the checkpoint builds a tensor on something that is no storage")
    return value


def _tensor(storage: object, offset: int, size: Any, stride: Any, *_: Any) -> TensorRecord:
    storage = _storage(storage)
    return TensorRecord(storage, storage.dtype, offset, tuple(size), tuple(stride))


def _tensor_v3(
    storage: object,
    offset: int,
    size: Any,
    stride: Any,
    _requires_grad: object,
    _hooks: object,
    dtype: object,
    *_: Any,
) -> TensorRecord:
    name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if name not in _DTYPES:
        raise InvalidInput(f"the checkpoint holds a tensor of dtype {name[:40]!r}")
    return TensorRecord(_storage(storage), name, offset, tuple(size), tuple(stride))


def _parameter(data: TensorRecord, *_: Any) -> TensorRecord:
    return data


def _dtype(code: str, *_: Any) -> DtypeRecord:
    return DtypeRecord(str(code))


def _new_array(*_: Any) -> ArrayRecord:
    return ArrayRecord()


def _array_of_buffer(buffer: bytes, dtype: DtypeRecord, shape: Any, order: str) -> ArrayRecord:
    record = ArrayRecord()
    record.__setstate__((1, shape, dtype, order == "F", bytes(buffer)))
    return record


def _scalar(dtype: DtypeRecord, data: bytes = b"") -> ArrayRecord:
    record = ArrayRecord()
    record.__setstate__((1, (), dtype, False, data))
    return record


def _table() -> Mapping[str, _StandIn]:
    builders: dict[str, Callable[..., Any] | None] = {
        "collections.OrderedDict": _plain_dict,
        "collections.Counter": _plain_dict,
        "collections.defaultdict": _default_dict,
        "_codecs.encode": _encode,
        "builtins.bytearray": bytearray,
        "builtins.bytes": lambda: b"",  # how protocol 2 writes no bytes
        "builtins.frozenset": frozenset,
        "builtins.set": set,
        "torch.Size": tuple,
        "torch.device": lambda *args: ":".join(str(a) for a in args),
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_v3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "numpy.dtype": _dtype,
        "numpy.ndarray": None,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        builders |= {f"{module}._reconstruct": _new_array, f"{module}.scalar": _scalar}
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        builders[f"{module}._frombuffer"] = _array_of_buffer
    # Factories of a defaultdict, and dtypes: named in files, never called.
    builders |= {f"builtins.{name}": None for name in ("dict", "float", "int", "list", "tuple")}
    builders |= {f"torch.{name}": None for name in _DTYPES}
    for storage in _DTYPES_BY_STORAGE:
        builders |= {f"torch.{storage}": None, f"torch.cuda.{storage}": None}
        builders[f"torch.storage.{storage}"] = None
    return MappingProxyType({name: _StandIn(name, build) for name, build in builders.items()})


_ALLOWED = _table()


class AllowListUnpickler(pickle.Unpickler):
    """The standard unpickler with another idea of names and of tensors' storages.

    Parameters
    ----------
    file : binary file
        Read from where it stands; `load` leaves it just behind the pickle.
    """

    def __init__(self, file: BinaryIO) -> None:
        # latin1: pickles of Python 2 hold array bytes as str.
        super().__init__(file, encoding="latin1")

    @override
    def find_class(self, module: str, name: str, /) -> Any:
        """Give the stand-in for ``module.name``.

        Raises
        ------
        InvalidInput
            Names what is not allowed.
        """
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full == _NAMESPACE:
            return PlainNamespace
        if full not in _ALLOWED:
            raise InvalidInput(
                f"the checkpoint asks for {full!r}, which is not allowed: only tensors, numpy "
                "arrays and plain containers are read. Save the state_dict alone"
            )
        return _ALLOWED[full]

    @override
    def persistent_load(self, pid: Any, /) -> StorageRecord:
        """Note a tensor's storage.

        Parameters
        ----------
        pid : tuple
            ``("storage", type, key, location, elements[, view])``, as ``torch.save`` writes it;
            ``view`` is ``(key, first element, elements)`` in old files.
        """
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise InvalidInput(f"the checkpoint holds {str(pid)[:80]!r} where a storage belongs")
        _, kind, key, _, elements, *view = pid
        name = kind.name.rsplit(".", 1)[-1] if isinstance(kind, _StandIn) else ""
        if name not in _DTYPES_BY_STORAGE:
            raise InvalidInput(f"the checkpoint holds a storage of unknown type {str(kind)[:80]!r}")
        first = view[0][1] if view and view[0] is not None else 0
        if type(elements) is not int or elements < 0:
            raise InvalidInput(f"the checkpoint holds a storage of {str(elements)[:40]} elements")
        return StorageRecord(str(key), _DTYPES_BY_STORAGE[name], elements, int(first))

    @override
    def load(self) -> Any:
        """Read one pickle.

        Raises
        ------
        InvalidInput
            Something is not allowed, or the bytes are no pickle.
        """
        try:
            return super().load()
        except _MALFORMED as error:
            raise InvalidInput(f"the checkpoint is no readable pickle: {error}") from error
