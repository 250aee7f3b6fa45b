"""Values of command-line flags: each reads a text, or says what was expected."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

_INT32_MAX = 2**31 - 1
_MOST_DIGITS = 20


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Give what reads a whole number in `least` to `most`."""

    def number(text: str) -> int:
        digits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
        if not digits or not least <= int(text) <= most:
            raise ArgumentTypeError(f"'{text[:80]}' is not a whole number from {least} to {most}")
        return int(text)

    return number


def score(text: str) -> float:
    """Read a score, in 0 to 1."""
    value = _float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"'{text}' is not in 0 to 1")
    return value


def seconds(text: str) -> float:
    """Read a time above 0, in seconds."""
    value = _float(text)
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"'{text}' is not a finite number of seconds above 0")
    return value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a number") from None


def picture(text: str) -> Path:
    """Take a folder, a name without a suffix (a folder too), or a suffix that Pillow writes."""
    out = Path(text)
    if out.is_dir() or not out.suffix or find_spec("PIL") is None:  # drawing says what to install
        return out
    from PIL import Image

    try:
        Image.new("RGB", (1, 1)).save(BytesIO(), Image.registered_extensions()[out.suffix.lower()])
    except (KeyError, OSError, ValueError):
        reason = f"got '{text}', expected .png, .jpg, .webp or another suffix that Pillow writes"
        raise ArgumentTypeError(reason) from None
    return out


def name(text: str) -> str:
    """Read a name, which is not empty."""
    if not text.strip():
        raise ArgumentTypeError("it is empty, expected a name")
    return text


def parameter(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name.strip(), value.strip()


def labels(text: str) -> tuple[str, ...]:
    """Read label names or ids, separated by commas."""
    found = tuple(label.strip() for label in text.split(",") if label.strip())
    if not found:
        raise ArgumentTypeError("give label names or ids, separated by commas")
    for label in found:
        if label.isdecimal():
            whole_number(0, _INT32_MAX)(label)
    return found
