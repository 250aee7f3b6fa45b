"""Options of the segmenters: typed, bounded, described once, read from text or tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from segserve.core.errors import InvalidInput

_SPEC = "option"
Value = int | float | str
Options = TypeVar("Options")


class OptionKind(Enum):
    """How an option is written."""

    WHOLE = "a whole number"
    REAL = "a number"
    CHOICE = "a word"


@dataclass(frozen=True)
class OptionSpec:
    """One option of a segmenter.

    Parameters
    ----------
    name : str
        The key in `parameters`, of the config and of a request.
    kind : OptionKind
    default : int, float or str
    low, high : float
        Bounds, both allowed; of WHOLE and REAL.
    choices : tuple of str
        Of CHOICE.
    about : str
        What it does, with its unit.
    """

    name: str
    kind: OptionKind
    default: Value
    low: float
    high: float
    choices: tuple[str, ...]
    about: str

    @property
    def expected(self) -> str:
        """Say in words what values are allowed."""
        if self.kind is OptionKind.CHOICE:
            return " | ".join(self.choices)
        return f"{self.kind.value} from {self.low:g} to {self.high:g}"

    def from_text(self, text: str) -> Value:
        """Read a value as it stands in a config or a request.

        Raises
        ------
        InvalidInput
            Naming the option, got and expected.
        """
        word = text.strip()
        if self.kind is OptionKind.CHOICE:
            return self.checked(word)
        try:
            number = float(word)
        except ValueError:
            raise self._refuse(text) from None
        return self.from_number(number)

    def from_number(self, number: float) -> Value:
        """Read a value as it stands in a tensor: a CHOICE as its index.

        Raises
        ------
        InvalidInput
            Naming the option, got and expected.
        """
        whole = math.isfinite(number) and number == int(number)
        match self.kind:
            case OptionKind.REAL:
                return self.checked(float(number))
            case OptionKind.WHOLE if whole:
                return self.checked(int(number))
            case OptionKind.CHOICE if whole and 0 <= number < len(self.choices):
                return self.choices[int(number)]
        raise self._refuse(number)

    def to_number(self, value: Value) -> float:
        """Give the number that stands for a value in a tensor; the inverse of `from_number`."""
        return self.choices.index(value) if isinstance(value, str) else value

    def checked(self, value: Value) -> Value:
        """Give the value back if it is allowed.

        Raises
        ------
        InvalidInput
            Naming the option, got and expected.
        """
        if isinstance(value, str):
            allowed = value in self.choices
        else:
            allowed = not self.choices and self.low <= value <= self.high
        if not allowed:
            raise self._refuse(value)
        return value

    def _refuse(self, got: object) -> InvalidInput:
        return InvalidInput(f"option '{self.name}' must be {self.expected}, got {got!r}")


def whole(default: int, low: int, high: int, about: str) -> Any:
    """Declare a whole number as a dataclass field."""
    return _declared(OptionKind.WHOLE, default, (low, high), (), about)


def real(default: float, low: float, high: float, about: str) -> Any:
    """Declare a real number as a dataclass field."""
    return _declared(OptionKind.REAL, default, (low, high), (), about)


def choice(choices: tuple[str, ...], about: str) -> Any:
    """Declare one of a few words as a dataclass field; the first is the default."""
    return _declared(OptionKind.CHOICE, choices[0], (0, 0), choices, about)


def _declared(
    kind: OptionKind,
    default: Value,
    bounds: tuple[float, float],
    choices: tuple[str, ...],
    about: str,
) -> Any:
    spec = OptionSpec("", kind, default, *bounds, choices, about)
    return field(default=default, metadata={_SPEC: spec})


def specs_of(options: type) -> tuple[OptionSpec, ...]:
    """List what a dataclass of declared fields takes, in its order."""
    return _specs_of(options)


@cache
def _specs_of(options: Any) -> tuple[OptionSpec, ...]:
    found = []
    for one in fields(options):
        spec: OptionSpec = one.metadata[_SPEC]
        found.append(
            OptionSpec(
                one.name, spec.kind, spec.default, spec.low, spec.high, spec.choices, spec.about
            )
        )
    return tuple(found)


def checked(options: Options) -> Options:
    """Give options back if every value is in its bounds.

    Raises
    ------
    InvalidInput
        Naming the option, got and expected.
    """
    for spec in specs_of(options.__class__):
        spec.checked(getattr(options, spec.name))
    return options


def with_values(options: Options, values: Mapping[str, Value]) -> Options:
    """Replace some values.

    Raises
    ------
    InvalidInput
        When a value is out of its bounds.
    """
    had = {spec.name: getattr(options, spec.name) for spec in specs_of(options.__class__)}
    return checked(type(options)(**{**had, **values}))
