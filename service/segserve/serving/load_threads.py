"""Threads for what blocks while models load, which a server that stops need not wait for.

Reading a file may hang for ever on a network's disk, and a runtime's code cannot be interrupted. So
each piece of work has a daemon thread of its own: neither the event loop nor the interpreter joins
it, and what has not ended is known by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class LoadThreads:
    """Runs blocking work, each on a thread of its own; the caller bounds how many."""

    def __init__(self) -> None:
        self._under_way: dict[Future[None], str] = {}

    async def run(self, what: str, work: Callable[[], T]) -> T:
        """Call `work` on a thread.

        A caller that is cancelled goes at once; the work goes on, and its result is dropped.

        Parameters
        ----------
        what : str
            What it is done for, such as a model's name.
        work : callable

        Raises
        ------
        Exception
            Whatever `work` raises.
        """
        result: Future[T] = Future()
        ended: Future[None] = Future()
        ended.set_running_or_notify_cancel()  # nobody who waits for it can cancel it
        self._under_way[ended] = what
        ended.add_done_callback(self._under_way.pop)
        thread = Thread(target=_work, args=(work, result, ended), name=f"load-{what}", daemon=True)
        thread.start()
        return await asyncio.wrap_future(result)

    async def wait_ended(self, timeout_s: float) -> tuple[str, ...]:
        """Wait for all work to end; name what has not by then."""
        waiting = [asyncio.wrap_future(ended) for ended in tuple(self._under_way)]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
        return tuple(sorted(set(self._under_way.values())))


def _work(work: Callable[[], T], result: Future[T], ended: Future[None]) -> None:
    """Do it; on the thread."""
    try:
        if result.set_running_or_notify_cancel():
            _settle(work, result)
    finally:
        ended.set_result(None)


def _settle(work: Callable[[], T], result: Future[T]) -> None:
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001  it is the caller's answer
        result.set_exception(error)
    else:
        result.set_result(value)
