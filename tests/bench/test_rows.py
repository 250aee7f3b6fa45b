"""Rows say whether their goal holds, and leave as a table and as JSON."""

import json
from pathlib import Path

import pytest
from loadtests.rows import Row, table, write


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("a", 90, "x/s", 100, 0.9, "ratio >= 0.85"), "ok"),
        (Row("a", 80, "x/s", 100, 0.8, "ratio >= 0.85"), "short"),
        (Row("a", 11, "ms", 10, 1.1, "ratio <= 1.25"), "ok"),
        (Row("a", 13, "ms", 10, 1.3, "ratio <= 1.25"), "short"),
        (Row("a", 2.9, "s", goal="value <= 3"), "ok"),
        (Row("a", 3.1, "s", goal="value <= 3"), "short"),
        (Row("a", 3.1, "s", goal="ratio <= 3"), "short"),
        (Row("a", 3.1, "s"), ""),
    ],
)
def test_verdict(row: Row, verdict: str) -> None:
    assert row.verdict() == verdict


def test_table_lines_up() -> None:
    rows = [Row("short", 1234.5, "x/s"), Row("a longer name", 0.5, "s", 1.0, 0.5, "ratio <= 1")]
    lines = table(rows).splitlines()
    assert len(lines) == 3
    assert lines[1].index("1,234") + len("1,234") == lines[2].index("0.5") + len("0.5")
    assert lines[2].endswith("ok")


def test_written_rows_have_the_agreed_keys(tmp_path: Path) -> None:
    write([Row("a", 1.0, "s", 2.0, 0.5, "ratio <= 1")], tmp_path / "deep" / "rows.json")
    assert json.loads((tmp_path / "deep" / "rows.json").read_text()) == [
        {
            "name": "a",
            "value": 1.0,
            "unit": "s",
            "baseline": 2.0,
            "ratio": 0.5,
            "goal": "ratio <= 1",
        }
    ]
