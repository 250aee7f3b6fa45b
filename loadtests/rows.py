"""The rows that a benchmark prints and keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    name : str
        What was measured; the key by which two runs are compared.
    value : float
    unit : str
    baseline : float or None
        What `value` is held against, in the same unit.
    ratio : float or None
        `value` over `baseline`, or the other way round where less is better and the goal says so.
    goal : str
        The bound that is meant to hold, such as ``ratio >= 0.85``; empty where there is none.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: str = ""

    def verdict(self) -> str:
        """Say whether the goal holds: ``ok``, ``short``, or nothing without a goal."""
        if not self.goal:
            return ""
        what, relation, bound = self.goal.split()
        got = self.value if what == "value" else self.ratio
        if got is None:
            return "short"
        return "ok" if (got >= float(bound)) == (relation == ">=") else "short"


def table(rows: Sequence[Row]) -> str:
    """Give the rows as aligned text."""
    cells = [("what", "value", "unit", "baseline", "ratio", "goal", "")]
    cells += [
        (
            row.name,
            _number(row.value),
            row.unit,
            _number(row.baseline),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.goal,
            row.verdict(),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(7)]
    right = (1, 3, 4)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  three digits tell enough


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
