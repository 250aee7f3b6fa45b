"""The benchmark's short run: it runs and tells, whatever the figures are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    root = Path(__file__).resolve().parents[2]
    out = tmp_path_factory.mktemp("bench") / "serve.json"
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.bench", "--quick", "--out", str(out)],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def test_rows_are_written(quick: tuple[str, Path]) -> None:
    rows = {row["name"]: row for row in json.loads(quick[1].read_text())}
    assert all(row["value"] > 0 for row in rows.values())
    assert {"served c8, CPU", "served c32, wall", "served c1, p50", "mixed sizes c8, wall"} <= set(
        rows
    )
    served, bare = rows["served c8, CPU"], rows["bare loop, both cores, CPU"]
    assert served["baseline"] == bare["value"]
    assert served["ratio"] == pytest.approx(served["value"] / bare["value"])


def test_the_table_is_printed(quick: tuple[str, Path]) -> None:
    assert "images/CPU-s" in quick[0]
    assert str(quick[1]) in quick[0]
