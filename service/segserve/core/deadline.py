"""When an answer stops being worth anything."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, order=True)
class Deadline:
    """A moment on the monotonic clock.

    Parameters
    ----------
    at_s : float
        Seconds on ``time.monotonic()``'s clock; ``inf`` for none.
    """

    at_s: float = inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Give the moment `seconds` from now; None or infinity for no deadline."""
        return cls(inf if seconds is None else time.monotonic() + seconds)

    def remaining_s(self, now_s: float | None = None) -> float:
        """Seconds left, negative once passed, infinite without a deadline."""
        return self.at_s - (time.monotonic() if now_s is None else now_s)

    def passed(self, now_s: float | None = None) -> bool:
        """Whether the moment has come."""
        return self.remaining_s(now_s) <= 0

    def sooner(self, other: Deadline) -> Deadline:
        """Pick the earlier of the two."""
        return min(self, other)


NO_DEADLINE = Deadline()
PASSED = "the caller's deadline has passed before the answer was ready"
"""What a caller is told whose deadline came first."""
