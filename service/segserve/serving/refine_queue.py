"""The threads that refine maps, apart from those that everything else runs on.

A refinement takes far longer than the other work of a request, so it draws on no core token: six
clients that want none keep their cores. What would wait too long, or does not fit, stays unrefined.
Refinements of interactive requests go before those of bulk ones.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from segserve.core.deadline import Deadline
from segserve.core.errors import Cancelled
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.observability.metrics import ModelMetrics

T = TypeVar("T")

_MAX_WAITING = 64
_MAX_BYTES = 1 << 30
NICE = 10
"""How much a refinement's threads give way: beside a thread that does not, they get a tenth."""


@dataclass(frozen=True)
class RefineLimits:
    """What may be in the queue.

    Parameters
    ----------
    threads : int
        Refinements that run at a time.
    max_waiting : int
        Refinements that wait beside those.
    max_bytes : int
        Working memory of all of them together.
    """

    threads: int = 1
    max_waiting: int = _MAX_WAITING
    max_bytes: int = _MAX_BYTES


@dataclass(eq=False)
class _Watch:
    """When a refinement must end, and when it began."""

    deadline: Deadline
    given_up: threading.Event = field(default_factory=threading.Event)
    began_s: float = 0.0

    def stop(self) -> bool:
        return self.given_up.is_set() or self.deadline.passed()


class RefineQueue:
    """Runs refinements within their budget; used on the event loop.

    Parameters
    ----------
    limits : RefineLimits
    """

    def __init__(self, limits: RefineLimits) -> None:
        self._limits = limits
        self._threads = CpuPool(limits.threads, "segserve-refine", NICE)
        self._watches: set[_Watch] = set()
        self._count = 0
        self._bytes = 0

    @property
    def pending(self) -> int:
        """Refinements that wait or run."""
        return self._count

    @property
    def bytes_in_use(self) -> int:
        """Working memory they were counted at."""
        return self._bytes

    async def run(
        self,
        work: Callable[[Callable[[], bool]], T],
        *,
        cost_bytes: int,
        deadline: Deadline,
        metrics: ModelMetrics,
        bulk: bool = False,
    ) -> T | None:
        """Run `work(stop)` on a thread; None when the queue is full or the deadline passes first.

        The answer comes at the deadline even where `work` is slow to look at `stop`; its place in
        the queue is given back when it has really ended, or at once if it had not begun.

        Raises
        ------
        ShuttingDown
            When the queue is closed.
        Exception
            Whatever `work` raises but Cancelled.
        """
        limits = self._limits
        if (
            self._count >= limits.threads + limits.max_waiting
            or self._bytes + cost_bytes > limits.max_bytes
        ):
            metrics.refine_skipped("full")
            return None
        watch, start_s = _Watch(deadline), time.perf_counter()
        waited = partial(_watched, work, watch)
        job = self._threads.run(waited, priority=Priority.POST, bulk=bulk)
        self._count += 1
        self._bytes += cost_bytes
        self._watches.add(watch)
        job.add_done_callback(lambda _: self._ended(cost_bytes))
        try:
            async with asyncio.timeout(max(deadline.remaining_s(), 0)):
                result = await asyncio.shield(job)
        except (TimeoutError, Cancelled):
            metrics.refine_skipped("budget")
            return None
        finally:
            watch.given_up.set()
            if not watch.began_s:
                job.cancel()  # it waits: its place is free at once
            self._watches.discard(watch)
        metrics.refined(watch.began_s - start_s, time.perf_counter() - watch.began_s)
        return result

    def _ended(self, cost_bytes: int) -> None:
        self._count -= 1
        self._bytes -= cost_bytes

    async def close(self) -> None:
        """Refuse what waits, and let what runs end; it is told to stop."""
        for watch in self._watches:
            watch.given_up.set()
        await self._threads.close()


def _watched(work: Callable[[Callable[[], bool]], T], watch: _Watch) -> T:
    watch.began_s = time.perf_counter()
    if watch.stop():
        raise Cancelled("the refinement's time was over before it began")
    return work(watch.stop)
