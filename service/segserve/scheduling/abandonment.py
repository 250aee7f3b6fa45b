"""When nobody waits for a batch any more: asked, or told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from segserve.scheduling.item import BatchResult, Entry


class Abandonment:
    """Whether every caller of a batch has gone or is out of time; made on the event loop.

    Parameters
    ----------
    entries : sequence of Entry
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._waiting = len(entries)
        self._end: Callable[[], None] | None = None
        for entry in entries:
            entry.future.add_done_callback(self._one_less)

    def __call__(self) -> bool:
        """Ask, on any thread."""
        return all(entry.unwanted() for entry in self._entries)

    def tell(self, end: Callable[[], None]) -> None:
        """Have `end` called, on the loop's thread or this one, when no caller waits any more.

        It may be called more than once, and is also when all have been answered. A later `end`
        takes the place of an earlier one.
        """
        self._end = end
        if self():
            end()

    def _one_less(self, _: asyncio.Future[BatchResult]) -> None:
        self._waiting -= 1
        if not self._waiting and self._end is not None:
            self._end()
