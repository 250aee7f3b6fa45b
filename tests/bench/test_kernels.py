"""The kernel benchmark: rows, agreement and timing, on cases that cost nothing."""

import json
import re

import numpy as np
import pytest
from loadtests.kernels import __main__ as bench
from loadtests.kernels import images, masks, outlines, scenes
from loadtests.kernels.agreement import differing_pixels, equal, same_bytes
from loadtests.kernels.case import KernelCase
from loadtests.kernels.measure import Effort, Measured, Timing, measure

from segserve.core.regions import Rle

FAST, SLOW = Timing(0.001, 0.002, 1.9), Timing(0.1, 0.1, 1.0)


def case(goal: float | None = 50, skipped: str = "") -> KernelCase:
    return KernelCase("a", goal, None if skipped else list, tuple, lambda a, b: "same", skipped)


def test_ratio_is_of_cpu_times() -> None:
    assert Measured(case(), FAST, SLOW, "same").ratio == pytest.approx(100)
    assert Measured(case(skipped="x"), FAST, None, "").ratio is None


@pytest.mark.parametrize(("goal", "verdict"), [(50, "ok"), (101, "short"), (None, "")])
def test_rows_and_line(goal: float | None, verdict: str) -> None:
    measured = Measured(case(goal), FAST, SLOW, "3 px differ")
    cpu, wall, threads = bench.rows_of(measured)
    assert (cpu.name, cpu.unit, cpu.value, cpu.baseline) == ("a, CPU", "ms", 1.0, 100.0)
    assert cpu.verdict() == verdict
    assert wall.ratio == pytest.approx(50)
    assert (threads.value, threads.baseline) == (1.9, 1.0)
    line = bench.line_of(measured)
    assert line.endswith("3 px differ")
    assert [word for word in ("ok", "short") if f" {word} " in line] == verdict.split()


def test_without_a_baseline_the_reason_stands_in_the_line() -> None:
    measured = Measured(case(skipped="not installed: torch"), FAST, None, "")
    assert "not installed: torch" in bench.line_of(measured)
    assert [row.baseline for row in bench.rows_of(measured)] == [None] * 3


def test_answers_are_compared_once_and_both_sides_are_timed() -> None:
    calls: list[str] = []
    compared: list[tuple[int, int]] = []

    def baseline() -> int:
        calls.append("baseline")
        return 1

    def ours() -> int:
        calls.append("ours")
        return 2

    def agreement(theirs: int, mine: int) -> str:
        compared.append((theirs, mine))
        return "differ"

    measured = measure(KernelCase("a", 1, baseline, ours, agreement), Effort(2, 0.0))
    assert compared == [(1, 2)]
    assert measured.agreement == "differ"
    assert measured.baseline is not None
    assert calls.count("ours") == calls.count("baseline") == 2 + 2 * 3


def test_agreement_in_words() -> None:
    assert same_bytes([b"1", b"2"], [Rle(1, 1, b"1"), Rle(1, 1, b"3")]) == "1/2 RLE byte-identical"
    assert differing_pixels(np.zeros(3), np.array([0, 1, 2])) == "2 px differ"
    assert equal(np.zeros(2), np.zeros(2)) == "same"
    assert equal(np.zeros(2), np.array([0, 0.25])) == "max difference 0.25"
    assert equal(np.zeros(2), np.zeros(3)) == "shapes [2] and [3]"


def test_scenes_are_seeded() -> None:
    np.testing.assert_array_equal(scenes.soft_blobs(2, 28), scenes.soft_blobs(2, 28))
    boxes = scenes.boxes(50, 80, 133)
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= [133, 80]).all()
    assert scenes.photograph(5, 7).shape == (5, 7, 3)


def test_mask_cases_agree_with_their_baselines(monkeypatch) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pytest.importorskip("pycocotools", reason="needs the dev extra: make test")
    monkeypatch.setattr(masks, "COUNT", 3)
    for one in masks.cases():
        assert one.baseline is not None
        said = one.agreement(one.baseline(), one.ours())
        count = len(one.ours())
        assert said in {f"{count}/{count} RLE byte-identical", "0 px differ"}, one.name


def test_outline_cases_agree_with_their_baselines(monkeypatch) -> None:
    pytest.importorskip("pycocotools", reason="needs the dev extra: make test")
    monkeypatch.setattr(outlines, "COUNT", 3)
    monkeypatch.setattr(outlines, "PICTURE", (90, 130))
    compared = [one for one in outlines.cases() if one.baseline is not None]
    assert compared
    for one in compared:
        said = one.agreement(one.baseline(), one.ours())
        assert said.split()[0] in {"same", "1/1", "3/3"}, one.name


def test_pictures_agree_with_pillow_but_for_antialiasing() -> None:
    small, large = images.cases()
    for one in (small, large):
        assert one.baseline is not None
        assert float(one.agreement(one.baseline(), one.ours()).split()[0]) < 2


def test_run_writes_its_rows(tmp_path, capsys) -> None:
    out = tmp_path / "kernels.json"
    bench.main(["--quick", "--only", "label map", "--out", str(out)])
    rows = json.loads(out.read_text())
    assert [row["name"].rsplit(", ", 1)[1] for row in rows] == ["CPU", "wall", "two threads"]
    assert "label map 513x513" in capsys.readouterr().out


def test_the_example_in_the_documentation_runs(repo_root) -> None:
    text = (repo_root / "docs" / "kernels.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/kernels.md", "exec"), {})
