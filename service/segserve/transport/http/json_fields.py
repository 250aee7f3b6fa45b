"""Reading JSON that anybody may have written: every field is checked, every error names it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from segserve.core.errors import InvalidInput
from segserve.core.messages import ParameterValue


def json_object(data: bytes) -> object:
    """Parse JSON; an empty body is an empty object.

    Raises
    ------
    InvalidInput
        When the bytes are no JSON.
    """
    if not data.strip():
        return {}
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"failed to parse the request JSON buffer: {error}") from None


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON object; `what` names it in messages."""

    values: dict[str, object]
    what: str

    def absent(self, name: str) -> bool:
        """Whether a field is not there, or null."""
        return self.values.get(name) is None

    def value(self, name: str) -> object:
        """Give a field that must be there."""
        if self.absent(name):
            raise InvalidInput(f"{self.what} has no '{name}'")
        return self.values[name]

    def text(self, name: str, default: str | None = None) -> str:
        """Give a string."""
        if default is not None and self.absent(name):
            return default
        value = self.value(name)
        if not isinstance(value, str):
            raise self.mistyped(name, "a string")
        return value

    def integers(self, name: str) -> list[int]:
        """Give a list of integers that fit 64 bits."""
        value = self.value(name)
        if not isinstance(value, list) or not all(
            isinstance(item, int) and not isinstance(item, bool) and abs(item) < 2**63
            for item in value
        ):
            raise self.mistyped(name, "a list of integers")
        return value

    def objects(self, name: str) -> list[Fields]:
        """Give a list of objects."""
        value = self.value(name)
        if not isinstance(value, list):
            raise self.mistyped(name, "a list of objects")
        return [fields_of(item, f"entry {n} of '{name}'") for n, item in enumerate(value)]

    def parameters(self) -> dict[str, ParameterValue]:
        """Give the ``parameters``; null ones are left out."""
        if self.absent("parameters"):
            return {}
        told = fields_of(self.values["parameters"], f"'parameters' of {self.what}")
        result: dict[str, ParameterValue] = {}
        for name, value in told.values.items():
            if isinstance(value, bool | int | float | str):
                result[name] = value
            elif value is not None:
                raise told.mistyped(name, "a bool, a number or a string")
        return result

    def mistyped(self, name: str, want: str) -> InvalidInput:
        """Give the error for a field of another type."""
        got = type(self.values[name]).__name__
        return InvalidInput(f"'{name}' of {self.what} must be {want}, got {got}")


def fields_of(value: object, what: str) -> Fields:
    """Take a JSON value as an object.

    Raises
    ------
    InvalidInput
        When it is none.
    """
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object, got {type(value).__name__}")
    return Fields(value, what)
