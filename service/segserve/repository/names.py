"""Names of models and versions: what may stand in a path, a metric label and a URL."""

from __future__ import annotations

import re

from segserve.core.errors import LoadFailed

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_UNFINISHED = (".tmp", ".partial")
INCOMPLETE_MARKER = ".incomplete"
"""A model folder that holds a file of this name is not looked at."""


def is_model_name(name: str) -> bool:
    """Whether `name` may name a model: letters, digits, ``.``, ``_``, ``-``, not only dots."""
    return _NAME.fullmatch(name) is not None and set(name) != {"."}


def check_model_name(name: str) -> str:
    """Give the name back.

    Raises
    ------
    LoadFailed
        When it holds anything but letters, digits, ``.``, ``_`` and ``-``.
    """
    if not is_model_name(name):
        raise LoadFailed(
            f"model name {name[:100]!r}: expected letters, digits, '.', '_' and '-' only: "
            f"rename the model's folder"
        )
    return name


def version_number(name: str) -> int | None:
    """Give the version that a folder's name stands for, None when it names no version.

    Raises
    ------
    LoadFailed
        When the name is all digits, yet no positive number without leading zeros.
    """
    if _VERSION.fullmatch(name):
        return int(name)
    if name.isascii() and name.isdigit():
        raise LoadFailed(
            f"version folder '{name[:100]}': expected a positive number without leading zeros: "
            f"rename it, e.g. to '{name.lstrip('0')[:18] or 1}'"
        )
    return None


def is_unfinished(name: str) -> bool:
    """Whether a folder of this name is still being written, or hidden: never looked at."""
    return name.startswith(".") or name.endswith(_UNFINISHED)
