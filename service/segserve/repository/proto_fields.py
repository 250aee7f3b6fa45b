"""Protobuf messages to frozen dataclasses and back, field by field, by name.

A dataclass need not have every field of its message: what is left over is kept, serialised, in a
field called `rest`, where the dataclass has one. Enums become the dataclass's own `StrEnum`, whose
values are the proto's names; ``DataType`` loses and gains its ``TYPE_`` prefix; a message's absence
is None; a map of ``ModelParameter`` is a map of strings.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.message import Message

from segserve.core.errors import LoadFailed
from segserve.core.tensor import DataType

T = TypeVar("T")
Field = Any
"""A field's descriptor: protobuf's stubs have two classes for it, neither complete."""
_NOT_IN_PROTO = {"rest", "origin"}


@functools.cache
def _shapes(cls: Any) -> Mapping[str, tuple[Any, Any]]:
    """Give ``field -> (container, element type)``; the container is tuple, Mapping or None."""
    return {
        name: _shape(hint)
        for name, hint in typing.get_type_hints(cls).items()
        if name not in _NOT_IN_PROTO
    }


def _shape(hint: Any) -> tuple[Any, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple, args[0]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Mapping, args[1]
    if origin in (types.UnionType, typing.Union):
        return None, next(arg for arg in args if arg is not type(None))
    return None, hint


def read_fields(cls: type[T], message: Message) -> T:
    """Build a dataclass from the message of the same field names.

    Parameters
    ----------
    cls : type
        A frozen dataclass whose annotations use tuples, Mappings, enums and other such dataclasses.
    message : Message

    Raises
    ------
    LoadFailed
        When an enum has a number that the proto does not name.
    """
    values: dict[str, Any] = {}
    known = message.DESCRIPTOR.fields_by_name
    shapes: Mapping[str, tuple[Any, Any]] = _shapes(cls)  # type: ignore[arg-type]  # classes are hashable
    for name, (container, element) in shapes.items():
        values[name] = _read(message, known[name], container, element)
    if "rest" in cls.__dataclass_fields__:  # type: ignore[attr-defined]  # every cls is a dataclass
        values["rest"] = _rest(cls, message)
    return cls(**values)


def _read(message: Message, field: Field, container: Any, element: Any) -> Any:
    value = getattr(message, field.name)
    if container is tuple:
        return tuple(_read_one(item, field, element) for item in value)
    if container is Mapping:
        entry = field.message_type.fields_by_name["value"]
        items = {key: _read_one(value[key], entry, element) for key in value}
        return types.MappingProxyType(items)
    if field.has_presence and not message.HasField(field.name):
        return None
    return _read_one(value, field, element)


def _read_one(value: Any, field: Field, element: Any) -> Any:
    if field.enum_type is not None:
        return _enum_member(_value_name(value, field), element)
    if field.message_type is not None:
        return value.string_value if element is str else read_fields(element, value)
    return value


def _value_name(number: int, field: Field) -> str:
    known = field.enum_type.values_by_number
    if number not in known:
        expected = ", ".join(value.name for value in known.values())
        raise LoadFailed(f"field '{field.name}': got {number}, expected one of {expected}")
    return str(known[number].name)


def _enum_member(name: str, element: type[Enum]) -> Enum | None:
    if element is not DataType:
        return element(name)
    if name == "TYPE_INVALID":
        return None
    short = name.removeprefix("TYPE_")
    return DataType("BYTES" if short == "STRING" else short)


def _rest(cls: type, message: Message) -> bytes:
    left = type(message)()
    left.CopyFrom(message)
    for name in _shapes(cls):
        left.ClearField(name)
    return left.SerializeToString(deterministic=True)


def write_fields(value: Any, message: Message) -> None:
    """Set a message's fields from a dataclass that `read_fields` could have given.

    Parameters
    ----------
    value : dataclass instance
    message : Message
        Changed in place; empty at first.
    """
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if field.name == "rest":
            message.MergeFromString(content)
        elif field.name not in _NOT_IN_PROTO:
            _write(message, message.DESCRIPTOR.fields_by_name[field.name], content)


def _write(message: Message, field: Field, content: Any) -> None:
    if content is None:
        return
    if isinstance(content, Mapping):
        entry = field.message_type.fields_by_name["value"]
        for key, item in content.items():
            _write_entry(getattr(message, field.name), key, item, entry)
    elif isinstance(content, tuple):
        _write_list(getattr(message, field.name), content)
    elif field.message_type is not None:
        target = getattr(message, field.name)
        target.SetInParent()
        write_fields(content, target)
    else:
        setattr(message, field.name, _scalar(content, field))


def _write_list(target: Any, content: tuple[Any, ...]) -> None:
    for item in content:
        if dataclasses.is_dataclass(item):
            write_fields(item, target.add())
        else:
            target.append(item)


def _write_entry(target: Any, key: Any, item: Any, field: Field) -> None:
    if field.message_type is None:
        target[key] = item
    elif isinstance(item, str):
        target[key].string_value = item
    else:
        write_fields(item, target[key])


def _scalar(content: Any, field: Field) -> Any:
    if field.enum_type is None:
        return content
    name = content.value
    if isinstance(content, DataType):
        name = "TYPE_STRING" if content is DataType.BYTES else f"TYPE_{name}"
    return field.enum_type.values_by_name[name].number
