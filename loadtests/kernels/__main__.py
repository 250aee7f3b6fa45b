"""`make bench-kernels`: every kernel against its baseline, in one interleaved run.

CPU time (of the whole process) and wall time of one call on one thread, and the throughput of two
Python threads over that of one; how far the answers agree stands beside each ratio. Rows go to
`build/bench/kernels.json`; docs/kernels.md says how to read the table.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.kernels.case import KernelCase
from loadtests.kernels.measure import Effort, Measured, Timing, measure
from loadtests.rows import Row, write

MODULES = ("masks", "outlines", "images", "crf", "classical")
FULL = Effort(rounds=5, slice_s=0.4)
QUICK = Effort(rounds=1, slice_s=0.1)
ROWS = Path("build/bench/kernels.json")


def rows_of(measured: Measured) -> list[Row]:
    """Give what one case leaves in the JSON file: CPU and wall in milliseconds, two threads."""
    case, ours, theirs = measured.case, measured.ours, measured.baseline
    goal = f"ratio >= {case.goal:g}" if case.goal is not None and theirs is not None else ""
    if theirs is None:
        return [
            Row(f"{case.name}, CPU", ours.cpu_s * 1e3, "ms"),
            Row(f"{case.name}, wall", ours.wall_s * 1e3, "ms"),
            Row(f"{case.name}, two threads", ours.threads_gain, "x one thread"),
        ]
    wall_ratio = theirs.wall_s / ours.wall_s
    gain = ours.threads_gain / theirs.threads_gain
    return [
        Row(f"{case.name}, CPU", ours.cpu_s * 1e3, "ms", theirs.cpu_s * 1e3, measured.ratio, goal),
        Row(f"{case.name}, wall", ours.wall_s * 1e3, "ms", theirs.wall_s * 1e3, wall_ratio),
        Row(
            f"{case.name}, two threads",
            ours.threads_gain,
            "x one thread",
            theirs.threads_gain,
            gain,
        ),
    ]


def line_of(measured: Measured) -> str:
    """Give the table's line of one case."""
    case, ours, theirs = measured.case, measured.ours, measured.baseline
    left = f"{case.name:<56} {_timing(ours)}"
    if theirs is None or measured.ratio is None:
        return f"{left}  no baseline: {case.skipped or 'none that does the same'}"
    goal = "" if case.goal is None else f"{case.goal:>5g}"
    verdict = "" if case.goal is None else ("ok" if measured.ratio >= case.goal else "short")
    held = f"{measured.ratio:>7.1f} {goal:>5} {verdict:<5}"
    return f"{left} {_timing(theirs)} {held} {measured.agreement}"


def _timing(timing: Timing) -> str:
    return f"{timing.cpu_s * 1e3:>9.3f} {timing.wall_s * 1e3:>9.3f} {timing.threads_gain:>6.2f}"


HEAD = (
    f"{'':<56} {'ours: CPU':>9} {'wall':>9} {'2 thr.':>6} {'base: CPU':>9} {'wall':>9} "
    f"{'2 thr.':>6} {'ratio':>7} {'goal':>5}       agreement"
)


def cases(only: str) -> Iterator[KernelCase]:
    """Give the cases of all modules whose name has `only` in it."""
    for name in MODULES:
        if importlib.util.find_spec(f"loadtests.kernels.{name}") is None:
            continue
        for case in importlib.import_module(f"loadtests.kernels.{name}").cases():
            if only.lower() in f"{name}: {case.name}".lower():
                yield case


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.kernels", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", default="", help="cases with this word in them")
    parser.add_argument("--out", type=Path, default=ROWS, help="where the rows go")
    args = parser.parse_args(arguments)
    print(f"milliseconds a call; load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    print(HEAD)
    rows: list[Row] = []
    for case in cases(args.only):
        measured = measure(case, QUICK if args.quick else FULL)
        print(line_of(measured), flush=True)
        rows += rows_of(measured)
    write(rows, args.out)
    print(f"rows: {args.out}")


if __name__ == "__main__":
    main()
