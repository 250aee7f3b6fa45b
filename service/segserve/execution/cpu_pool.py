"""The CPU's threads and the one budget of core tokens that everything on it draws from.

Work asks for tokens at a priority: finishing what is done (POST) goes before running models (RUN),
which goes before preparing new images (PRE). So the server ends requests before it starts others.
All work of interactive requests goes before that of bulk requests, but for one start in eight.
Work that may take seconds leaves a core to the rest.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from queue import SimpleQueue
from typing import Any, TypeVar

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import DeadlineExceeded, ShuttingDown
from segserve.execution.blas import hold_blas_to
from segserve.execution.os_threads import give_way, name_thread
from segserve.execution.turns import Turns

T = TypeVar("T")
_MOMENT_S = 0.05


class Priority(IntEnum):
    """Who goes first; lower is sooner."""

    POST = 0
    RUN = 1
    PRE = 2


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    tokens: int
    bulk: bool
    long: bool
    deadline: Deadline
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


_Lines = tuple[deque[_Job], ...]


class CpuPool:
    """Runs blocking work on threads, as many at a time as there are cores.

    What runs on it counts as one core a token, so numpy's linear algebra gets no threads of its own
    in a process that has one.

    Parameters
    ----------
    cores : int
        Tokens in the budget, and threads.
    name : str
        Of the threads.
    nice : int
        How much the threads give way to others of the process where cores are short (on Linux).
    """

    def __init__(self, cores: int, name: str = "segserve-cpu", nice: int = 0) -> None:
        hold_blas_to(1)
        self.cores = cores
        self._nice = nice
        self._free = cores
        self._full_s = -inf
        self._free_for_long = max(1, cores - 1)
        self._interactive: _Lines = tuple(deque() for _ in Priority)
        self._bulk: _Lines = tuple(deque() for _ in Priority)
        self._turns = Turns()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[_Job] = deque()
        self._wake_pending = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True)
            for i in range(cores)
        ]
        for thread in self._threads:
            thread.start()

    def idle(self) -> bool:
        """Whether no token is in use; then nobody waits either."""
        return self._free == self.cores

    def spare(self) -> bool:
        """Whether a token is free."""
        return self._free > 0

    def pressed(self) -> bool:
        """Whether all tokens are in use, or were a moment ago."""
        return not self._free or time.monotonic() - self._full_s < _MOMENT_S

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """Count what waits for tokens: by ``interactive`` or ``bulk``, and priority's name."""
        kinds = {"interactive": self._interactive, "bulk": self._bulk}
        return {
            (kind, priority.name.lower()): len(lines[priority])
            for kind, lines in kinds.items()
            for priority in Priority
        }

    def run(
        self,
        work: Callable[[], T],
        *,
        priority: Priority,
        tokens: int = 1,
        bulk: bool = False,
        long: bool = False,
        deadline: Deadline = NO_DEADLINE,
    ) -> asyncio.Future[T]:
        """Have `work` run on a thread once its tokens are free.

        Work that says it is `long` never holds all cores, where there are two or more; what stands
        behind it in its line goes first then.

        Returns
        -------
        asyncio.Future
            Of what `work` returns or raises (``StopIteration`` as a RuntimeError), of
            DeadlineExceeded when the deadline had passed by the time the work could start, or of
            ShuttingDown when the pool was closed before that. Cancelled, it gives its place back;
            work that has begun goes on to its end, and its result is dropped.

        Raises
        ------
        ShuttingDown
            When the pool is closed.
        """
        if self._closed:
            raise ShuttingDown("the server is stopping")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(work, min(tokens, self.cores), bulk, long, deadline, future)
        (self._bulk if bulk else self._interactive)[priority].append(job)
        future.add_done_callback(self._withdraw)
        self._admit()
        return future

    def _withdraw(self, future: asyncio.Future[Any]) -> None:
        """Let what waits for nobody leave its line, which it may have held back."""
        if not future.cancelled():
            future.exception()  # looked at, should the caller be gone in this very moment
            return
        for line in (*self._interactive, *self._bulk):
            for place, job in enumerate(line):
                if job.future is future:
                    del line[place]
                    self._admit()
                    return

    def _admit(self) -> None:
        """Start what waits, best first, as long as tokens are free.

        Work for many tokens at the head of its line holds back what is behind it, so that it is
        never starved.
        """
        while self._free:
            long_goes = self._free_for_long > 0
            interactive = _best(self._interactive, long_goes=long_goes)
            bulk = _best(self._bulk, long_goes=long_goes)
            bulk_waits = bulk is not None
            bulks = self._turns.is_bulks(
                interactive_waits=interactive is not None, bulk_waits=bulk_waits
            )
            best = bulk if bulks else interactive
            if best is None:
                return
            line, place = best
            job = line[place]
            if job.tokens > self._free:
                return
            del line[place]
            self._turns.started(bulk=job.bulk, bulk_waits=bulk_waits)
            self._count(job, -1)
            self._jobs.put(job)

    def _count(self, job: _Job, sign: int) -> None:
        """Take a job's tokens (-1), or give them back (1)."""
        if not self._free:
            self._full_s = time.monotonic()
        self._free += sign * job.tokens
        self._free_for_long += sign * job.tokens * job.long

    # --- on the threads

    def _work(self) -> None:
        name_thread(threading.current_thread().name)
        give_way(self._nice)
        while (job := self._jobs.get()) is not None:
            try:
                job.result = job.work()
            except StopIteration as error:  # a future refuses to carry it
                job.error = RuntimeError(f"the work raised {error!r}")
            except BaseException as error:  # noqa: BLE001  it is the caller's answer
                job.error = error
            self._tell(job)
            del job  # or an idle thread would keep the last result alive

    def _tell(self, job: _Job) -> None:
        """Hand a finished job over; one wake-up of the loop serves all that end together."""
        self._done.append(job)
        if not self._wake_pending and self._loop is not None:
            self._wake_pending = True
            try:
                self._loop.call_soon_threadsafe(self._sweep)
            except RuntimeError:
                return  # the loop is closed: nobody is left to be told

    # --- on the loop again

    def _sweep(self) -> None:
        self._wake_pending = False
        while self._done:
            job = self._done.popleft()
            self._count(job, 1)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._admit()

    async def close(self) -> None:
        """Fail what waits, let what runs end, and end the threads."""
        self._closed = True
        for line in (*self._interactive, *self._bulk):
            while line:
                job = line.popleft()
                if not job.future.done():
                    job.future.set_exception(ShuttingDown("the server is stopping"))
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.to_thread(self._join)
        self._sweep()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()


def _best(lines: _Lines, *, long_goes: bool) -> tuple[deque[_Job], int] | None:
    """Find who may start first: its line and place; what nobody waits for any more leaves."""
    for line in lines:
        place = 0
        while place < len(line):
            job = line[place]
            if job.future.done():
                del line[place]
            elif job.deadline.passed():
                del line[place]
                job.future.set_exception(
                    DeadlineExceeded("the caller's deadline passed before the work began")
                )
            elif job.long and not long_goes:
                place += 1
            else:
                return line, place
    return None
