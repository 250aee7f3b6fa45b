"""Lets answers out in the order in which their requests came in (``preserve_ordering``)."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass(eq=False)
class Ticket:
    """A place in the order."""

    finished: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Ordering:
    """Tickets in the order of their requests; a ticket is released once all before it are done."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()

    def enter(self) -> Ticket:
        """Take the next place."""
        ticket = Ticket()
        self._tickets.append(ticket)
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """Say that a place holds nobody up any more, and release those that were waiting for it."""
        ticket.finished = True
        while self._tickets and self._tickets[0].finished:
            self._tickets.popleft().released.set()
