"""The three containers of ``torch.save`` and plain pickles, read without torch's own reader.

Layouts from ``torch/serialization.py`` and ``caffe2/serialize/inline_container.cc``: a ZIP of
stored records since 1.6, before that a sequence of pickles followed by the storages, and before
0.1.10 a TAR (refused).
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from typing_extensions import override

from segserve.core.errors import InvalidInput
from segserve.export.records import StorageRecord
from segserve.export.unpickler import AllowListUnpickler

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ENCRYPTED = 0x1  # bit of the general purpose flags, APPNOTE.TXT 4.4.4


class OpenCheckpoint(Protocol):
    """A file whose structure is read and whose storages are not yet."""

    @property
    def tree(self) -> Any:
        """What was saved, with records in place of tensors and arrays."""
        ...

    def read(self, storage: StorageRecord) -> bytes:
        """Give the bytes of a storage."""
        ...


def _check_length(storage: StorageRecord, got_bytes: int) -> None:
    expected_bytes = storage.elements * getattr(torch, storage.dtype).itemsize
    if got_bytes != expected_bytes:
        raise InvalidInput(
            f"storage {storage.key!r}: got {got_bytes} bytes, expected {expected_bytes}: "
            "the file is damaged"
        )


class _ZipCheckpoint:
    """A ZIP of ``NAME/data.pkl`` and ``NAME/data/KEY``."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        names = archive.namelist()
        pickles = [n for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(pickles) != 1:
            raise InvalidInput("this ZIP is no checkpoint: expected one NAME/data.pkl inside")
        self._prefix = pickles[0].removesuffix("data.pkl")
        if f"{self._prefix}constants.pkl" in names:
            raise InvalidInput("this is a TorchScript program; expected a checkpoint of weights")
        if f"{self._prefix}byteorder" in names and self._record("byteorder") != b"little":
            raise InvalidInput("this checkpoint was written on a big-endian machine")
        with self._open("data.pkl") as file:
            self.tree = AllowListUnpickler(file).load()

    def _open(self, name: str) -> Any:
        try:
            info = self._archive.getinfo(self._prefix + name)
        except KeyError:
            raise InvalidInput(f"the checkpoint has no record {name!r}: it is damaged") from None
        if info.flag_bits & _ENCRYPTED:
            raise InvalidInput(
                f"record {name!r} is encrypted, expected plain records as torch.save writes them: "
                "unpack the ZIP with its password and pack it again without (zip -0 -r)"
            )
        if info.compress_type != zipfile.ZIP_STORED:
            raise InvalidInput(f"record {name!r} is compressed; torch.save stores them plainly")
        return self._archive.open(info)

    def _record(self, name: str) -> bytes:
        with self._open(name) as file:
            data: bytes = file.read()
        return data

    def read(self, storage: StorageRecord) -> bytes:
        """Give the bytes of a storage."""
        data = self._record(f"data/{storage.key}")
        _check_length(storage, len(data))
        return data


class _LegacyCheckpoint:
    """Magic number, protocol, machine, tree, keys, then the storages one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        if AllowListUnpickler(file).load() != _PROTOCOL:
            raise InvalidInput(f"this checkpoint is of another protocol than {_PROTOCOL}")
        machine = AllowListUnpickler(file).load()
        if not isinstance(machine, dict) or not machine.get("little_endian", False):
            raise InvalidInput("this checkpoint was written on a big-endian machine")
        unpickler = _CountingUnpickler(file)
        self.tree = unpickler.load()
        keys = AllowListUnpickler(file).load()
        if not isinstance(keys, list):
            raise InvalidInput("the checkpoint has no list of storages: it is damaged")
        self._spans = dict(self._find(unpickler.storages, keys))

    def _find(
        self, storages: dict[str, StorageRecord], keys: list[Any]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        for key in keys:
            if not isinstance(key, str) or key not in storages:
                raise InvalidInput(f"storage {str(key)[:80]!r} is listed but never used")
            storage = storages[key]
            header = self._file.read(8)
            length = struct.unpack("<q", header)[0] if len(header) == 8 else -1  # noqa: PLR2004  one int64
            if length != storage.elements:
                raise InvalidInput(
                    f"storage {key!r}: got {length} elements, expected {storage.elements}: "
                    "the file is damaged"
                )
            n_bytes = length * getattr(torch, storage.dtype).itemsize
            yield key, (self._file.tell(), n_bytes)
            self._file.seek(n_bytes, 1)

    def read(self, storage: StorageRecord) -> bytes:
        """Give the bytes of a storage."""
        if storage.key not in self._spans:
            raise InvalidInput(f"storage {storage.key!r} is not in the file: it is damaged")
        position, n_bytes = self._spans[storage.key]
        self._file.seek(position)
        data = self._file.read(n_bytes)
        _check_length(storage, len(data))
        return data


class _CountingUnpickler(AllowListUnpickler):
    """Remembers the storages by key, whose lengths the file does not say before their data."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, StorageRecord] = {}

    @override
    def persistent_load(self, pid: Any, /) -> StorageRecord:
        """Note a tensor's storage."""
        storage = super().persistent_load(pid)
        self.storages[storage.key] = storage
        return storage


class _PicklePlain:
    """A bare pickle: numpy arrays in containers."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def read(self, storage: StorageRecord) -> bytes:
        """Refuse: a bare pickle has no storages."""
        raise InvalidInput(f"storage {storage.key!r} is not in the file: a bare pickle has none")


@contextmanager
def open_checkpoint(path: Path) -> Iterator[OpenCheckpoint]:
    """Open a ``.pth``, ``.pt``, ``.bin`` or ``.pkl`` file, whatever it is called.

    Parameters
    ----------
    path : Path
        Of the file.

    Raises
    ------
    InvalidInput
        The file is damaged, or holds what is not allowed.
    """
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            try:
                with zipfile.ZipFile(file) as archive:
                    yield _ZipCheckpoint(archive)
            # the latter is how zipfile refuses a compression that it does not know
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise InvalidInput(f"the ZIP cannot be read: {error}") from error
            return
        file.seek(0)
        if tarfile.is_tarfile(path):
            raise InvalidInput(
                "this is torch's TAR format of 2016; save it again with a newer torch"
            )
        first = AllowListUnpickler(file).load()
        yield _LegacyCheckpoint(file) if first == _MAGIC else _PicklePlain(first)
