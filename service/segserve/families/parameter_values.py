"""The small languages of config parameters: sizes, numbers, lists, choices, colours."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from segserve.core.errors import LoadFailed

T = TypeVar("T")
Size = tuple[int, int]

MAX_SIDE_PX = 65535
_MOST_DIGITS = 18
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_COLOUR = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def refuse(key: str, got: str, expected: str) -> LoadFailed:
    """Make the error for a value that does not read."""
    return LoadFailed(f"config parameter '{key}': got '{got}', expected {expected}")


def nearest(word: str, known: Sequence[str]) -> str:
    """Give ``: did you mean 'x'?`` for the known word nearest to `word`, or nothing."""
    found = get_close_matches(word, known, n=1, cutoff=0.6)
    return f": did you mean '{found[0]}'?" if found else ""


class ParameterReader:
    """Reads values of a config's `parameters`, each with its default.

    Parameters
    ----------
    parameters : Mapping of str to str
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def read(self, key: str, parse: Callable[[str], T | None], expected: str, default: T) -> T:
        """Parse one value; a blank or absent one is the default.

        Raises
        ------
        LoadFailed
            Naming key, got and expected, when `parse` gives None.
        """
        text = self._parameters.get(key, "").strip()
        if not text:
            return default
        value = parse(text)
        if value is None:
            raise refuse(key, text, expected)
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Read one of a few words."""
        text = self._parameters.get(key, "").strip() or default
        if text not in choices:
            expected = " | ".join(choices) + nearest(text, choices)
            raise refuse(key, text, expected)
        return text

    def flag(self, key: str, *, default: bool) -> bool:
        """Read ``true`` or ``false``."""
        return self.choice(key, ("false", "true"), "true" if default else "false") == "true"

    def floats(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        """Read three finite numbers."""
        return self.read(key, three_floats, "three numbers, e.g. 0.485,0.456,0.406", default)

    def sizes(self, key: str) -> tuple[Size, ...]:
        """Read a list of HxW, none by default."""
        return self.read(key, sizes, "sizes as HxW, e.g. 240x320,320x240", ())

    def ids(self, key: str) -> tuple[int, ...]:
        """Read a list of label ids, none by default."""
        return self.read(key, ids, "label ids, e.g. 0,255", ())


def number(text: str) -> float | None:
    """Parse ``1/255`` or ``0.5``: finite and not zero."""
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) and value != 0 else None


def three_floats(text: str) -> tuple[float, float, float] | None:
    """Parse three comma-separated finite numbers."""
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        return None
    values = (first, second, third)
    return values if all(map(math.isfinite, values)) else None


def size(text: str) -> Size | None:
    """Parse ``240x320`` as (height, width), each at least 1."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    height, width = int(found[1]), int(found[2])
    return (height, width) if 0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX else None


def sizes(text: str) -> tuple[Size, ...] | None:
    """Parse comma-separated sizes."""
    parsed = [size(part) for part in text.split(",")]
    known = tuple(one for one in parsed if one is not None)
    return known if len(known) == len(parsed) else None


def whole(text: str) -> int | None:
    """Parse a whole number of at least 1, of 18 digits at most."""
    reads = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if reads and int(text) > 0 else None


def ids(text: str) -> tuple[int, ...] | None:
    """Parse comma-separated whole numbers of at least 0."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts)


def colours(text: str) -> tuple[tuple[int, int, int], ...] | None:
    """Parse comma-separated hex colours, with or without ``#``."""
    found = [_COLOUR.fullmatch(part.strip()) for part in text.split(",")]
    known = [match for match in found if match is not None]
    if len(known) != len(found):
        return None
    return tuple((int(m[1], 16), int(m[2], 16), int(m[3], 16)) for m in known)
