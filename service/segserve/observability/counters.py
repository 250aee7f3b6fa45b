"""Counters under Triton's exact names: the client library would add ``_total`` to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def label_text(labels: Iterable[tuple[str, str]]) -> str:
    """Write labels as Prometheus does, with the braces."""
    escaped = (
        (k, v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for k, v in labels
    )
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped) + "}"


class TritonCounters:
    """Counters under Triton's exact names, in Prometheus' text format.

    Parameters
    ----------
    texts : mapping
        By name, what each counts.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._values: dict[str, dict[str, float]] = {name: {} for name in texts}

    def add(self, name: str, labels: str, value: float) -> None:
        """Add `value` to the series `labels` (the text between and with the braces)."""
        series = self._values[name]
        series[labels] = series.get(labels, 0.0) + value

    def render(self) -> str:
        """Give the exposition text."""
        lines: list[str] = []
        for name, series in self._values.items():
            lines += (f"# HELP {name} {self._texts[name]}", f"# TYPE {name} counter")
            lines += (f"{name}{labels} {value:.10g}" for labels, value in series.items())
        return "".join(line + "\n" for line in lines)
