"""Which files an ONNX model keeps its weights in, besides its own.

A look at the protobuf wire format alone, since the server does not install the `onnx` package: it
steps over everything but the fields that lead to a ``TensorProto`` with ``external_data``. Field
numbers are those of onnx/onnx.proto3. It is stricter than a protobuf parser (no groups, nothing
after the last field), so what passes here reads the same to ONNX Runtime.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from segserve.core.errors import LoadFailed

MAX_FIELDS = 20_000_000
MAX_DEPTH = 100
_ENTRY = "StringStringEntryProto"
_CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: _ENTRY},
}
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2
_MAX_VARINT_BYTES = 10


def external_locations(model_file: Path) -> tuple[str, ...]:
    """Name the files that a model's tensors refer to, as written, each once.

    Raises
    ------
    LoadFailed
        When the file cannot be read or is no protobuf message.
    """
    try:
        with model_file.open("rb") as file:
            if not file.seek(0, 2):
                raise LoadFailed(f"{model_file}: empty file: export the model again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return tuple(dict.fromkeys(_locations(content)))
    except OSError as error:
        raise LoadFailed(f"{model_file}: cannot be read: {error.strerror}") from None
    except _Malformed as error:
        raise LoadFailed(
            f"{model_file}: not an ONNX model ({error}): is the file complete?"
        ) from None


class _Malformed(Exception):
    """Bytes that are no protobuf message; says where."""


def _locations(content: mmap.mmap) -> Iterator[str]:
    """Walk all messages that can lead to a tensor, without recursion."""
    fields = 0
    open_messages = [("ModelProto", 0, len(content), 0)]
    while open_messages:
        kind, start, end, depth = open_messages.pop()
        if depth > MAX_DEPTH:
            raise _Malformed(f"nested deeper than {MAX_DEPTH} levels")
        if kind == _ENTRY:
            yield from _location(content, start, end)
            continue
        children = _CHILDREN[kind]
        for number, first, last in _fields(content, start, end):
            fields += 1
            if number in children and first >= 0:
                open_messages.append((children[number], first, last, depth + 1))
        if fields > MAX_FIELDS:
            raise _Malformed(f"more than {MAX_FIELDS} fields")


def _location(content: mmap.mmap, start: int, end: int) -> Iterator[str]:
    values = {
        number: content[first:last]
        for number, first, last in _fields(content, start, end)
        if first >= 0
    }
    if values.get(1) == b"location":
        yield values.get(2, b"").decode("utf-8", errors="replace")


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give ``(number, first, last)`` of each field; `first` is -1 when it holds no bytes."""
    at = start
    while at < end:
        tag, after = _varint(content, at, end)
        number, wire_type = tag >> 3, tag & 7
        first = -1
        if wire_type == _BYTES:
            length, first = _varint(content, after, end)
            after = first + length
        elif wire_type == _VARINT:
            _, after = _varint(content, after, end)
        elif wire_type in _FIXED_BYTES:
            after += _FIXED_BYTES[wire_type]
        else:
            raise _Malformed(f"wire type {wire_type} at byte {at}")
        if after > end or number == 0:
            raise _Malformed(f"a field that does not fit at byte {at}")
        yield number, first, after
        at = after


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Decode one variable-length integer; give it and the position after it."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= end:
            break
        byte = content[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004  the top bit says that more follow
            return value, at + index + 1
    raise _Malformed(f"a number that does not end at byte {at}")
