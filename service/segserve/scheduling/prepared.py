"""The bound on images that are decoded and not yet through the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded

_LATE = "the caller's deadline passed before the image was decoded"


class Prepared:
    """Places for prepared images; the encoded ones wait outside, where they are cheap to hold.

    Parameters
    ----------
    rows : int
        Places: twice what all instances hold at once, so that a batch can be prepared while
        another runs.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._places = asyncio.Semaphore(rows)
        self.waiting = 0

    @asynccontextmanager
    async def row(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold one place; first come, first served.

        Raises
        ------
        DeadlineExceeded
            When the deadline passes before there is room.
        """
        await self._acquire(deadline)
        try:
            if deadline.passed():
                raise DeadlineExceeded(_LATE)
            yield
        finally:
            self._places.release()

    async def _acquire(self, deadline: Deadline) -> None:
        remaining_s = deadline.remaining_s()
        self.waiting += 1
        try:
            async with asyncio.timeout(None if remaining_s == inf else remaining_s):
                await self._places.acquire()
        except TimeoutError:
            raise DeadlineExceeded(_LATE) from None
        finally:
            self.waiting -= 1
