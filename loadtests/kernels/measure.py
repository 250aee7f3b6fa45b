"""Time a kernel and its baseline in turn, alone and two at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtests.kernels.case import KernelCase

Work = Callable[[], Any]


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Parameters
    ----------
    rounds : int
        Of baseline and kernel in turn.
    slice_s : float
        Least time that a kernel is repeated for in a round; at least one call.
    """

    rounds: int
    slice_s: float


@dataclass(frozen=True)
class Timing:
    """What one call takes, medians over the rounds.

    Parameters
    ----------
    cpu_s, wall_s : float
        On one thread. CPU time is the whole process's, so that hidden threads count.
    threads_gain : float
        Calls per second with two Python threads over calls per second with one.
    """

    cpu_s: float
    wall_s: float
    threads_gain: float


@dataclass(frozen=True)
class Measured:
    """One case, timed.

    Parameters
    ----------
    case : KernelCase
    ours : Timing
    baseline : Timing or None
    agreement : str
        Of the answers; empty without a baseline.
    """

    case: KernelCase
    ours: Timing
    baseline: Timing | None
    agreement: str

    @property
    def ratio(self) -> float | None:
        """CPU time of the baseline over ours."""
        return None if self.baseline is None else self.baseline.cpu_s / self.ours.cpu_s


def measure(case: KernelCase, effort: Effort) -> Measured:
    """Compare the answers once, then time both sides in turn."""
    works: list[Work] = [case.ours] if case.baseline is None else [case.ours, case.baseline]
    answers = [work() for work in works]
    agreement = "" if case.baseline is None else case.agreement(answers[1], answers[0])
    del answers
    calls = [_calls_in(work, effort.slice_s) for work in works]
    rounds: list[list[Timing]] = [[] for _ in works]
    for _ in range(effort.rounds):
        for work, count, timings in zip(works, calls, rounds, strict=True):
            timings.append(_once(work, count))
    timed = [_median(timings) for timings in rounds]
    return Measured(case, timed[0], timed[1] if len(timed) > 1 else None, agreement)


def _calls_in(work: Work, slice_s: float) -> int:
    begin_s = time.perf_counter()
    work()
    return max(1, round(slice_s / max(time.perf_counter() - begin_s, 1e-6)))


def _once(work: Work, calls: int) -> Timing:
    begin_cpu_s, begin_s = time.process_time(), time.perf_counter()
    _repeat(work, calls)
    cpu_s, wall_s = time.process_time() - begin_cpu_s, time.perf_counter() - begin_s
    threads = [threading.Thread(target=_repeat, args=(work, calls)) for _ in range(2)]
    begin_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both_s = time.perf_counter() - begin_s
    return Timing(cpu_s / calls, wall_s / calls, 2 * wall_s / both_s)


def _repeat(work: Work, calls: int) -> None:
    for _ in range(calls):
        work()


def _median(timings: Sequence[Timing]) -> Timing:
    return Timing(
        median(t.cpu_s for t in timings),
        median(t.wall_s for t in timings),
        median(t.threads_gain for t in timings),
    )
