"""What every call has in common: its deadline, its count, its failure as a status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from segserve.core.deadline import Deadline
from segserve.core.errors import BackendFailed, ServiceError, ShuttingDown
from segserve.transport.kserve import Call
from segserve.transport.parameters import trace_parent
from segserve.transport.status import OverloadStatus, message_of, status_of

log = logging.getLogger(__name__)
T = TypeVar("T")
Context = Any  # grpc.aio.ServicerContext, whose stubs call time_remaining() never None
Answer = Callable[[bytes, Context], Awaitable[bytes]]
StreamAnswer = Callable[[AsyncIterator[bytes], Context], Awaitable[None]]
_RETRY_ELSEWHERE_S = 1.0


def call_of(context: Context) -> Call:
    """Read deadline and trace of a call."""
    return Call(
        deadline=Deadline.after(context.time_remaining()),
        trace_parent=trace_parent(context.invocation_metadata() or ()),
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

    def unary(self, answer: Answer) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Wrap a handler of one message, bytes in and bytes out."""

        async def handle(message: bytes, context: Context) -> bytes:
            return await self._guarded(answer(message, context), context)

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(self, answer: StreamAnswer) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Wrap a handler of messages both ways, which writes to its context."""

        async def handle(messages: AsyncIterator[bytes], context: Context) -> None:
            await self._guarded(answer(messages, context), context)

        return grpc.stream_stream_rpc_method_handler(handle)

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
                retry_after_s=_RETRY_ELSEWHERE_S,
            )

    async def _guarded(self, answer: Awaitable[T], context: Context) -> T:
        self._running += 1
        self._idle.clear()
        try:
            return await answer
        except ServiceError as error:
            failure = error
        except Exception as error:  # the border where unforeseen failures become answers
            log.exception("call_crashed")
            failure = BackendFailed(f"internal error: {error!r}")
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()
        await self._abort(context, failure)
        raise failure  # abort() has raised

    async def _abort(self, context: Context, error: ServiceError) -> None:
        code = grpc.StatusCode[status_of(error.kind, self._overload).grpc]
        trailers = [("segserve-error-kind", error.kind.value)]
        if error.retry_after_s is not None:
            wait_ms = str(max(1, round(error.retry_after_s * 1e3)))
            trailers += [("retry-after-ms", wait_ms), ("grpc-retry-pushback-ms", wait_ms)]
        await context.abort(code, message_of(error), tuple(trailers))
