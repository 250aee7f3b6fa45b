"""The bound on images that are decoded and not yet through the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded


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
            When the deadline has passed by the time that there is room.
        """
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        try:
            if deadline.passed():
                raise DeadlineExceeded("the caller's deadline passed before the image was decoded")
            yield
        finally:
            self._places.release()
