"""Messages as JSON values whose 64-bit integers are numbers, as Triton's clients read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def message_json(message: Message) -> dict[str, object]:
    """Give a message's fields by their proto names.

    Numbers, strings, lists and maps are always there, be they empty; messages and members of a
    oneof only when they are set. Enums are names.
    """
    return {
        field.name: _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: Any, value: Any) -> object:
    if isinstance(value, Mapping):
        entry = field.message_type.fields_by_name["value"]
        return {str(key): _single(entry, value[key]) for key in value}
    if hasattr(value, "extend"):
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> object:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return message_json(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    result: object = value
    return result
