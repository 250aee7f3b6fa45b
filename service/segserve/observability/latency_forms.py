"""In which forms Triton's latencies are shown: what ``--metrics-config`` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_SWITCHES = {
    "counter_latencies": "counters",
    "summary_latencies": "summaries",
    "histogram_latencies": "first_response",
}
_QUANTILES = "summary_quantiles"
_KNOWN = (*_SWITCHES, _QUANTILES)


@dataclass(frozen=True)
class LatencyForms:
    """What is shown beside the duration histograms, which always are; the defaults are Triton's.

    Parameters
    ----------
    counters : bool
        ``nv_inference_*_duration_us``, sums.
    summaries : bool
        ``nv_inference_*_summary_us``, quantiles of the last minute.
    first_response : bool
        ``nv_inference_first_response_histogram_ms``.
    quantiles : tuple of float
        Of the summaries, each 0 to 1.
    """

    counters: bool = True
    summaries: bool = False
    first_response: bool = False
    quantiles: tuple[float, ...] = (0.5, 0.9, 0.95, 0.99, 0.999)


def read_forms(given: Sequence[str]) -> LatencyForms:
    """Read ``name=value`` texts, as Triton's ``--metrics-config`` takes them; the last one wins.

    The permitted errors in ``summary_quantiles=0.5:0.05,...`` are checked and have no effect: a
    `Summary` is within 1 % of the value at every quantile.

    Raises
    ------
    ValueError
        Names what is wrong with the first bad one.
    """
    told: dict[str, Any] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if name in _SWITCHES:
            told[_SWITCHES[name]] = _switch(name, value)
        elif name == _QUANTILES:
            told["quantiles"] = _quantiles(value)
        else:
            near = get_close_matches(name, _KNOWN, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"expected {', '.join(_KNOWN)}, each as NAME=VALUE{meant}")
    return LatencyForms(**told)


def _switch(name: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise ValueError(f"expected {name}=true or {name}=false")
    return value.lower() == "true"


def _quantiles(value: str) -> tuple[float, ...]:
    pairs = [text.split(":") for text in value.split(",")]
    try:
        read = [(float(quantile), float(error)) for quantile, error in pairs]
    except ValueError:
        read = []
    if not read or not all(0 <= number <= 1 for pair in read for number in pair):
        raise ValueError(
            f"expected {_QUANTILES}=QUANTILE:ERROR,..., all from 0 to 1, e.g. 0.5:0.05,0.99:0.001"
        )
    return tuple(dict.fromkeys(quantile for quantile, _ in read))  # each series once
