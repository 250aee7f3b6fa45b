"""Lets answers out in the order in which their requests came in (``preserve_ordering``)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from segserve.core.errors import BackendFailed

T = TypeVar("T")
Given = TypeVar("Given")


@dataclass(eq=False)
class _Place:
    """A place in the order."""

    left: bool = False
    turn: asyncio.Event = field(default_factory=asyncio.Event)


class Ordering:
    """Requests in the order in which they came; an answer is let out once all before it have been.

    It is one request's turn at a time: the next one's comes when that one goes on, so that an
    answer which had to be woken is not overtaken by one which is ready in the same moment.
    """

    def __init__(self) -> None:
        self._places: deque[_Place] = deque()

    async def in_turn(self, start: Callable[[Given], Awaitable[T]], given: Given) -> T:
        """Do a request's work, and hold its answer back until it is its turn.

        The request's place is that of its first step. Whoever waits here holds nothing that
        another one's work needs. A place is left when its work has ended in any way; what was
        refused, or was too late, or whose caller has gone, is not held back, the failure of a model
        is.
        """
        place = _Place()
        self._places.append(place)
        self._next()
        try:
            try:
                answer = await start(given)
            except BackendFailed:
                await place.turn.wait()
                raise
            await place.turn.wait()
            return answer
        finally:
            place.left = True
            self._next()

    def _next(self) -> None:
        """Tell the first whose answer is not out yet that it is its turn."""
        while self._places and self._places[0].left:
            self._places.popleft()
        if self._places:
            self._places[0].turn.set()
