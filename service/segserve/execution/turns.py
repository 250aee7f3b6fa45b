"""Whose turn it is: interactive work first, and bulk work often enough that it never starves."""

from __future__ import annotations

BULK_EVERY = 8
"""One start in so many is bulk work's, while both kinds wait."""


class Turns:
    """Counts how often interactive work went first while bulk work waited."""

    def __init__(self) -> None:
        self._passed = 0

    def is_bulks(self, *, interactive_waits: bool, bulk_waits: bool) -> bool:
        """Tell whether the next to start is bulk work; nothing is counted."""
        if not (interactive_waits and bulk_waits):
            return bulk_waits
        return self._passed >= BULK_EVERY - 1

    def started(self, *, bulk: bool, bulk_waits: bool) -> None:
        """Note a start.

        Parameters
        ----------
        bulk : bool
            What was started.
        bulk_waits : bool
            Whether bulk work was waiting then.
        """
        self._passed = self._passed + 1 if bulk_waits and not bulk else 0
