"""What is wrong with settings, in one line each: where it came from, got, and what is right."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from enum import Enum

from pydantic import ValidationError

from segserve.settings import LINK, Settings, variable


def explain(error: ValidationError, flags: Collection[str]) -> str:
    """One line per bad setting: where it came from, what was got and what is right.

    Parameters
    ----------
    error : pydantic.ValidationError
        Of `Settings`.
    flags : Collection[str]
        Names of the fields that were given as flags; the others came from the environment.
    """
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else "?"
        flag = "--" + name.replace("_", "-")
        if item["type"] == "missing":
            lines.append(f"{flag} is required (or the environment's {variable(name)})")
        else:
            source = flag if name in flags else f"{variable(name)} ({flag})"
            hint = _service_link(name, item["input"]) or _nearest(name, item["input"])
            reason = item["msg"].removeprefix("Value error, ")
            lines.append(f"{source}: got {item['input']!r}: {reason}{hint}")
    return "; ".join(lines)


def _nearest(name: str, got: object) -> str:
    """Ask whether the nearest of a setting's choices was meant."""
    field = Settings.model_fields.get(name)
    kind = None if field is None else field.annotation
    choices = ["true", "false"] if kind is bool else []
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [str(member.value) for member in kind]
    by_folded = {choice.lower(): choice for choice in choices}
    near = get_close_matches(str(got).lower(), by_folded, n=1)
    meant = by_folded[near[0]] if near else got
    return f"; did you mean {meant}?" if meant != got else ""


def _service_link(name: str, got: object) -> str:
    """Say where a port that is an address comes from."""
    if not LINK.match(str(got)):
        return ""
    service = variable(name).removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"; Kubernetes sets {variable(name)} for a Service named {service}: `enableServiceLinks: "
        f"false` in the pod's spec stops that"
    )
