"""What every call has in common: its deadline, its count, its failure as a status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from segserve.core.deadline import Deadline
from segserve.core.errors import BackendFailed, ServiceError, ShuttingDown
from segserve.transport import refusals
from segserve.transport.grpc.failures import RETRY_ELSEWHERE_S, failed
from segserve.transport.grpc.methods import (
    Answer,
    RpcContext,
    RpcFailed,
    StreamAnswer,
    Streaming,
    Unary,
)
from segserve.transport.kserve import Call
from segserve.transport.parameters import trace_context
from segserve.transport.status import OverloadStatus, status_of
from segserve.transport.tensor_bytes import Buffer

log = logging.getLogger(__name__)
T = TypeVar("T")


def call_of(context: RpcContext) -> Call:
    """Read deadline and trace of a call."""
    return Call(
        deadline=Deadline.after(context.time_remaining()),
        trace=trace_context(context.invocation_metadata() or ()),
    )


class Calls:
    """Counts the calls that run; once `refusing`, new ones are answered with a hint to retry.

    Parameters
    ----------
    overload : {"unavailable", "resource_exhausted"}
        The status of a full queue.
    """

    def __init__(self, overload: OverloadStatus) -> None:
        self._overload: OverloadStatus = overload
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.refusing = False
        self._at_stop: set[Callable[[], object]] = set()

    def refuse(self) -> None:
        """Refuse new work from now on, and end what waits for it."""
        self.refusing = True
        for end in tuple(self._at_stop):
            end()

    @contextmanager
    def ended_by_stop(self, end: Callable[[], object]) -> Iterator[None]:
        """Have `end` called as soon as new work is refused."""
        self._at_stop.add(end)
        if self.refusing:
            end()
        try:
            yield
        finally:
            self._at_stop.discard(end)

    @property
    def running(self) -> int:
        """Calls in flight."""
        return self._running

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call is in flight; false when that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def unary(self, name: str, answer: Answer) -> Unary:
        """Wrap the handler of a method, of one message: bytes in and bytes out."""

        async def handle(message: Buffer, context: RpcContext) -> bytes:
            return await self._counted(name, answer(message, context))

        return Unary(handle)

    def stream(self, name: str, answer: StreamAnswer, *, counted: bool = True) -> Streaming:
        """Wrap the handler of a method, of messages both ways, which writes to its context.

        Parameters
        ----------
        counted : bool
            Whether a server that stops waits for the call to end by itself.
        """

        async def handle(messages: AsyncIterator[Buffer], context: RpcContext) -> None:
            work = answer(messages, context)
            await (self._counted(name, work) if counted else self._guarded(name, work))

        return Streaming(handle)

    def check_open(self) -> None:
        """Refuse work that comes after the server has begun to stop.

        Raises
        ------
        ShuttingDown
            Once `refusing`.
        """
        if self.refusing:
            raise ShuttingDown(
                "Server is stopping, scheduler for model has stopped accepting new inference "
                "requests",
                retry_after_s=RETRY_ELSEWHERE_S,
            )

    async def _counted(self, name: str, work: Awaitable[T]) -> T:
        self._running += 1
        self._idle.clear()
        try:
            return await self._guarded(name, work)
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    async def _guarded(self, name: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except ServiceError as error:
            refusals.tell(name, error)
            raise self._failed(error) from error
        except RpcFailed:  # the caller's messages are broken
            raise
        except Exception as error:  # the border where unforeseen failures become answers
            log.exception("call_crashed", extra={"method": name})
            raise self._failed(BackendFailed(f"internal error: {error!r}")) from error

    def _failed(self, error: ServiceError) -> RpcFailed:
        failure = failed(error, status_of(error.kind, self._overload).grpc)
        failure.told = True
        return failure
