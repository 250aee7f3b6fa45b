"""What a module of kernel cases offers: `cases() -> Sequence[KernelCase]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class KernelCase:
    """One kernel, what it is held against, and how the two answers are compared.

    Parameters
    ----------
    name : str
        What is computed and on what size, such as ``paste 100 masks to 800x1333``.
    goal : float or None
        Smallest wanted ratio of CPU times, baseline over ours; None where there is no goal.
    baseline : callable or None
        Computes the answer with the library; None where it is not installed (`skipped` says why).
    ours : callable
        Computes the answer with Segserve's kernel; compiled before it is timed.
    agreement : callable
        Says in a few words how well two answers agree: (baseline's, ours) -> text.
    skipped : str
        Why there is no baseline.
    """

    name: str
    goal: float | None
    baseline: Callable[[], Any] | None
    ours: Callable[[], Any]
    agreement: Callable[[Any, Any], str]
    skipped: str = ""


class CaseModule(Protocol):
    """A module under ``loadtests.kernels`` that offers cases."""

    @staticmethod
    def cases() -> Sequence[KernelCase]:
        """Make the inputs and give the cases; a library that is missing skips its baseline only."""
