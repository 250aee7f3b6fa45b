"""The bound on images that are decoded and not yet through the model."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded
from segserve.execution.permit import Permit
from segserve.execution.turns import Turns

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
        self._free = rows
        self._interactive: deque[asyncio.Future[None]] = deque()
        self._bulk: deque[asyncio.Future[None]] = deque()
        self._turns = Turns()

    @property
    def waiting(self) -> int:
        """Images that wait for a place."""
        return len(self._interactive) + len(self._bulk)

    async def row(self, deadline: Deadline, *, bulk: bool = False) -> Permit:
        """Take one place; first come, first served, interactive images before those of bulk work.

        Raises
        ------
        DeadlineExceeded
            When the deadline passes before there is room.
        """
        if self._free and not self.waiting:
            self._free -= 1
        else:
            await self._turn(deadline, self._bulk if bulk else self._interactive)
        if deadline.passed():
            self._release()
            raise DeadlineExceeded(_LATE)
        return Permit(1, self._release)

    async def _turn(self, deadline: Deadline, line: deque[asyncio.Future[None]]) -> None:
        """Wait for a place."""
        remaining_s = deadline.remaining_s()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(None if remaining_s == inf else remaining_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release()  # the place came in the moment in which the caller went
            elif turn in line:
                line.remove(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(_LATE) from None
            raise

    def _release(self, places: int = 1) -> None:
        """Give a place to the next in turn."""
        self._free += places
        while self._free and self.waiting:
            bulk = self._turns.is_bulks(
                interactive_waits=bool(self._interactive), bulk_waits=bool(self._bulk)
            )
            self._turns.started(bulk=bulk, bulk_waits=bool(self._bulk))
            turn = (self._bulk if bulk else self._interactive).popleft()
            if not turn.done():
                turn.set_result(None)
                self._free -= 1
