"""One rpc on one HTTP/2 stream: its headers, messages, deadline and answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from segserve.core.deadline import PASSED
from segserve.core.errors import DeadlineExceeded, Overloaded, ServiceError, ShuttingDown
from segserve.transport.grpc import status_codes
from segserve.transport.grpc.failures import (
    EXHAUSTED,
    RETRY_ELSEWHERE_S,
    RETRY_SOON_S,
    failed,
    tell,
)
from segserve.transport.grpc.message_reader import PREFIX, Intake, Message, MessageReader, inflate
from segserve.transport.grpc.methods import Method, RpcFailed, Streaming, Unary
from segserve.transport.grpc.rpc_head import RpcHead
from segserve.transport.http2.stream import Stream
from segserve.transport.tensor_bytes import Buffer

log = logging.getLogger(__name__)
T = TypeVar("T")


class RpcCount:
    """How many rpcs are held, and how many may be."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self.held = 0

    def enter(self) -> None:
        """Count one more.

        Raises
        ------
        RpcFailed
            When the limit is reached.
        """
        if self._limit is not None and self.held >= self._limit:
            text = (
                f"Concurrent RPC limit exceeded! {self.held} are held; raise it with "
                f"--max-concurrent-rpcs"
            )
            raise failed(Overloaded(text, retry_after_s=RETRY_SOON_S), EXHAUSTED)
        self.held += 1

    def leave(self) -> None:
        """Count one less."""
        self.held -= 1


class Rpc:
    """Runs a method for a stream; it is the method's context as well.

    Parameters
    ----------
    intake : Intake
        Bounds the messages.
    count : RpcCount
        Has counted this rpc, and is told when it is over: answered or lost, its method at rest.
    """

    def __init__(
        self, stream: Stream, head: RpcHead, method: Method, intake: Intake, count: RpcCount
    ) -> None:
        self._stream = stream
        self._head = head
        self._method = method
        self._count = count
        self._limit_bytes = intake.message_bytes
        self._reader = MessageReader(intake)
        self._request_ended = False
        self._arrival: asyncio.Future[None] | None = None  # of what a streaming method waits for
        self._answering = False
        self._over = False
        self._released = False
        stream.out.on_end = self._release
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._end_s = 0.0
        if head.timeout_s is not None:
            self._end_s = self._loop.time() + head.timeout_s
            self._timer = self._loop.call_later(head.timeout_s, self._expired)
        if isinstance(method, Streaming):
            self._start()

    # What the stream tells.

    @property
    def hungry(self) -> bool:
        """Whether more of the request may come."""
        return not self._reader

    def received(self, piece: memoryview) -> None:
        """Take a piece of the request's body."""
        self._take(self._reader.feed, piece)

    def room(self) -> memoryview | None:
        """Give where the rest of a long message belongs."""
        return self._reader.room()

    def filled(self, count: int) -> None:
        """Bytes were read into `room`."""
        self._take(self._reader.filled, count)

    def request_ends(self) -> None:
        """Start a unary method; a request without its one message fails."""
        if self._request_ended:
            return
        self._request_ended = True
        if isinstance(self._method, Streaming):
            self._wake()
        elif len(self._reader) == 1:
            self._start()
        else:
            self._stop(RpcFailed("INTERNAL", "expected one whole message, got none"))

    def lost(self) -> None:
        """Stop: nobody waits for the answer."""
        self._settle()
        if self._task is not None:
            self._task.cancel()

    def server_ends(self) -> None:
        """Answer now: the server has no time left."""
        text = "Server is stopping and has cancelled the call"
        self._stop(self._from_outside(ShuttingDown(text, retry_after_s=RETRY_ELSEWHERE_S)))

    # What the method asks for.

    def time_remaining(self) -> float | None:
        """Give the seconds until the caller's deadline."""
        return None if self._timer is None else max(0.0, self._end_s - self._loop.time())

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Give the caller's headers."""
        return self._head.metadata

    async def write(self, message: bytes) -> None:
        """Send a message of a streamed answer."""
        if self._over:
            return
        if not self._answering:
            self._answering = True
            self._stream.head(status_codes.HEAD)
        self._stream.body(PREFIX.pack(0, len(message)), message)
        await self._stream.drained()

    async def _iterated(self) -> AsyncIterator[Buffer]:
        while True:
            while self._reader:
                message = self._reader.pop()
                self._stream.grant()
                yield await self._content(message)
            if self._request_ended:
                break
            self._arrival = self._loop.create_future()
            await self._arrival
        if self._reader.partial:
            raise RpcFailed("INTERNAL", "the last message is not whole")

    async def _content(self, message: Message) -> Buffer:
        if not message.compressed:
            return message.data
        # Few bytes may become many, so that is no work for the event loop.
        return await asyncio.to_thread(
            inflate, message.data, self._head.encoding, self._limit_bytes
        )

    # Running it.

    def _start(self) -> None:
        """Run the method; a task that is cancelled before its first step runs nothing of it."""
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._release)

    async def _run(self) -> None:
        try:
            if isinstance(self._method, Unary):
                message = await self._content(self._reader.pop())
                self._answer(await self._method.answer(message, self))
            else:
                await self._method.answer(self._iterated(), self)
                self._end(status_codes.OK)
        except RpcFailed as failure:
            self._fail(failure)
        except asyncio.CancelledError:
            self._fail(RpcFailed("CANCELLED", "the server has cancelled the call"))
        except Exception as error:  # whatever happens, the caller gets an answer
            log.exception("rpc_crashed")
            crash = RpcFailed("INTERNAL", f"internal error: {error!r}")
            crash.told = True
            self._fail(crash)

    def _answer(self, message: bytes) -> None:
        if not self._over:
            self._settle()
            prefix = PREFIX.pack(0, len(message))
            self._stream.finish(status_codes.HEAD, status_codes.OK, prefix, message)

    def _fail(self, failure: RpcFailed) -> None:
        if not self._over:
            tell(self._head.method, failure)
        self._end(status_codes.trailers(failure.status, failure.text, failure.trailers))

    def _from_outside(self, error: ServiceError) -> RpcFailed:
        """Give the end that nothing in the call brought about; a method that runs tells of it."""
        failure = failed(error)
        failure.told = self._task is not None
        return failure

    def _end(self, trailers: bytes) -> None:
        if not self._over:
            self._settle()
            block = trailers if self._answering else status_codes.HEAD + trailers
            self._stream.end(block, request_ended=self._request_ended)

    def _expired(self) -> None:
        self._stop(self._from_outside(DeadlineExceeded(PASSED)))

    def _stop(self, failure: RpcFailed) -> None:
        """Answer at once, and end the method if it runs."""
        self._fail(failure)
        if self._task is not None:
            self._task.cancel()

    def _settle(self) -> None:
        """Nothing more comes in or goes out."""
        if self._over:
            return
        self._over = True
        self._reader.drop()
        if self._timer is not None:
            self._timer.cancel()

    def _release(self, _task: asyncio.Task[None] | None = None) -> None:
        """Leave the count once the method is at rest and nothing of the answer waits."""
        at_rest = self._task is None or self._task.done()
        if at_rest and self._stream.out.ended and not self._released:
            self._released = True
            self._count.leave()

    def _take(self, read: Callable[[T], None], what: T) -> None:
        try:
            read(what)
        except RpcFailed as failure:
            self._stop(failure)
        else:
            self._arrived()

    def _arrived(self) -> None:
        """Tell the method that bytes have come; a unary one has a single message."""
        if isinstance(self._method, Streaming):
            self._wake()
        elif len(self._reader) + self._reader.partial > 1:
            self._stop(RpcFailed("INTERNAL", "expected one message, got more"))

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
