"""The parameters of a request: the reserved names, and the choices for segmentation.

Numbers are taken from every variant that clients are known to send: integers, floats with an
integral value, and numeric strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import NO_TRACE, ParameterValue, TraceContext
from segserve.core.options import MaskFormat, OutputSize, Refine, SegmentOptions

E = TypeVar("E", bound=Enum)
Parameters = Mapping[str, ParameterValue]
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_RESERVED = frozenset({*_SEQUENCE, "priority", "timeout", "headers", "binary_data_output"})
_MASK_FORMAT = "mask_format"
_MASK_OUTPUTS = ("mask_rle", "label_map", "segment_mask_rle", "segment_map")
_INT64_MAX = 2**63 - 1
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True)
class Choices:
    """What the reserved parameters of a request say.

    Parameters
    ----------
    priority : int
        0 for the model's default level.
    queue_timeout_us : int
        0 for the model's queue policy.
    timing : bool
        The answer shall carry the time of each phase.
    rest : Mapping
        Parameters that are not reserved, those for segmentation included.
    """

    priority: int
    queue_timeout_us: int
    timing: bool
    rest: Parameters


def read_choices(parameters: Parameters) -> Choices:
    """Read the reserved parameters.

    Raises
    ------
    InvalidInput
        When a number is none, or is negative.
    Unsupported
        When the request is part of a sequence.
    """
    for name in _SEQUENCE:
        if parameters.get(name):
            raise Unsupported(f"parameter '{name}': sequences are not supported by this server")
    return Choices(
        priority=integer("priority", parameters.get("priority", 0)),
        queue_timeout_us=integer("timeout", parameters.get("timeout", 0)),
        timing=flag("timing", parameters.get("timing", False)),
        rest={
            name: value
            for name, value in parameters.items()
            if name not in _RESERVED and not name.startswith("triton_")
        },
    )


def read_options(parameters: Parameters) -> SegmentOptions:
    """Read the choices for segmentation.

    Raises
    ------
    InvalidInput
        Naming the parameter, got and expected.
    """
    given = parameters.get
    threshold, top_k, area = given("score_threshold"), given("top_k"), given("min_area_px")
    labels = given("label_ids")
    return checked(
        SegmentOptions(
            mask_format=_mask_format(parameters),
            score_threshold=None if threshold is None else number("score_threshold", threshold),
            top_k=None if top_k is None else integer("top_k", top_k),
            min_area_px=None if area is None else integer("min_area_px", area),
            label_ids=None if labels in (None, "") else _integers("label_ids", labels),
            refine=_choice("refine", given("refine"), Refine),
            output_size=_choice("output_size", given("output_size"), OutputSize),
        )
    )


def _mask_format(parameters: Parameters) -> MaskFormat | None:
    """Read ``mask_format``, and the same by the name of an output: ``mask_format.label_map``."""
    given = {
        name: _choice(name, value, MaskFormat)
        for name, value in parameters.items()
        if name == _MASK_FORMAT or name.startswith(f"{_MASK_FORMAT}.")
    }
    for name in given.keys() - {_MASK_FORMAT}:
        if name.removeprefix(f"{_MASK_FORMAT}.") not in _MASK_OUTPUTS:
            raise InvalidInput(
                f"parameter '{name}': expected {_MASK_FORMAT} alone, or with the name of an output "
                f"that holds masks: {', '.join(_MASK_OUTPUTS)}"
            )
    if len(set(given.values())) > 1:
        raise InvalidInput(
            f"parameters {', '.join(sorted(given))}: all masks of an answer have one format: "
            f"give it once"
        )
    return next(iter(given.values()), None)


def checked(options: SegmentOptions) -> SegmentOptions:
    """Check the one range that types do not hold.

    Raises
    ------
    InvalidInput
        When the score threshold is outside [0, 1].
    """
    threshold = options.score_threshold
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInput(f"score_threshold must be in [0, 1], got {threshold}")
    return options


def number(name: str, value: ParameterValue) -> float:
    """Read a finite number.

    Raises
    ------
    InvalidInput
        When it is none.
    """
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise InvalidInput(f"parameter '{name}' must be a finite number, got {_shown(value)}")
    return result


def integer(name: str, value: ParameterValue) -> int:
    """Read an integer in [0, 2^63).

    Raises
    ------
    InvalidInput
        When it is none.
    """
    result = _whole(value)
    if result is None or not 0 <= result <= _INT64_MAX:
        raise InvalidInput(
            f"parameter '{name}' must be an integer from 0 to 2^63-1, got {_shown(value)}"
        )
    return result


def _whole(value: ParameterValue) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if re.fullmatch(r"-?[0-9]{1,19}", digits) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value


def flag(name: str, value: ParameterValue) -> bool:
    """Read a truth value: a bool, 0 or 1, or their names.

    Raises
    ------
    InvalidInput
        When it is none.
    """
    known: dict[str, bool] = {"true": True, "1": True, "false": False, "0": False}
    result = known.get(str(value).lower())
    if result is None:
        raise InvalidInput(f"parameter '{name}' must be true or false, got {_shown(value)}")
    return result


def _integers(name: str, value: ParameterValue) -> tuple[int, ...]:
    parts: Iterable[ParameterValue] = (
        [part for part in value.split(",") if part.strip()] if isinstance(value, str) else [value]
    )
    return tuple(integer(name, part) for part in parts)


def _choice(name: str, value: ParameterValue | None, kind: type[E]) -> E | None:
    if value is None:
        return None
    try:
        return kind(value.lower() if isinstance(value, str) else value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise InvalidInput(
            f"parameter '{name}' must be one of {known}, got {_shown(value)}"
        ) from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004  a line's length


def trace_context(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext:
    """Find a well-formed W3C ``traceparent`` among headers, and the ``tracestate`` beside it."""
    parent, states = "", []
    for name, value in metadata:
        if name == "traceparent":
            if isinstance(value, str) and _TRACE_PARENT.fullmatch(value):
                parent = value
        elif name == "tracestate" and isinstance(value, str):
            states.append(value)
    return TraceContext(parent, ",".join(states)) if parent else NO_TRACE
