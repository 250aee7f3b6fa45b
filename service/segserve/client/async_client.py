"""The asyncio client; belongs to the loop it is first used on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from segserve.client.async_stream import stream_answers
from segserve.client.channel import SEGMENT, SEGMENT_STREAM, channel_options, target_of
from segserve.client.conversion import Job, Picture, from_response, to_request
from segserve.client.errors import SegserveError
from segserve.client.result import SegmentResult, StreamAnswer
from segserve.client.retry import RetryPolicy, wait_before_retry_s
from segserve.client.status import from_rpc
from segserve.core.deadline import Deadline
from segserve.core.errors import ErrorKind
from segserve.core.options import DEFAULT_OPTIONS, SegmentOptions
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


class AsyncClient:
    """`segserve.client.Client` for asyncio: the same parameters, results and errors.

    Cancelling a task that waits in `segment` cancels the call, and the server drops its work.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] = "localhost:8001",
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._target = target_of(addresses)
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._opened: Any = None
        self._closed = False

    async def segment(
        self,
        image: Picture,
        model: str,
        options: SegmentOptions = DEFAULT_OPTIONS,
        *,
        version: int | None = None,
        priority: int | None = None,
        timeout_s: float | None = None,
    ) -> SegmentResult:
        """Segment one image; parameters and errors as `Client.segment`.

        A file is read on the loop: give bytes where that matters.
        """
        request = to_request(image, Job(model, version, options, priority))
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        return from_response(await self._send(request, deadline))

    async def segment_many(
        self,
        images: Iterable[Picture],
        model: str,
        options: SegmentOptions = DEFAULT_OPTIONS,
        *,
        version: int | None = None,
        priority: int | None = None,
        in_flight: int = 16,
    ) -> AsyncIterator[StreamAnswer]:
        """Segment many images over one stream; everything as `Client.segment_many`."""
        await self._wait_connected(Deadline.after(self._timeout_s))
        call = self._channel().stream_stream(
            SEGMENT_STREAM,
            request_serializer=pb.SegmentStreamRequest.SerializeToString,
            response_deserializer=pb.SegmentStreamResponse.FromString,
        )()
        job = Job(model, version, options, priority)
        answers = stream_answers(call, images, job, in_flight, self._timeout_s)
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    def _channel(self) -> Any:
        if self._closed:
            raise SegserveError(ErrorKind.CANCELLED, "the client is closed")
        if self._opened is None:
            options = channel_options(self._target)
            self._opened = grpc.aio.insecure_channel(self._target, options=options)
        return self._opened

    async def _send(self, request: pb.SegmentRequest, deadline: Deadline) -> pb.SegmentResponse:
        segment = self._channel().unary_unary(
            SEGMENT,
            request_serializer=pb.SegmentRequest.SerializeToString,
            response_deserializer=pb.SegmentResponse.FromString,
        )
        sent = 0
        while True:
            await self._wait_connected(deadline)
            sent += 1
            try:
                answer: pb.SegmentResponse = await segment(
                    request, timeout=max(0.0, deadline.remaining_s())
                )
            except grpc.aio.AioRpcError as failure:
                error = from_rpc(failure)
                remaining_s = deadline.remaining_s()
                chance = random.random()  # noqa: S311  spreads callers; no secret
                wait_s = wait_before_retry_s(
                    error, sent, self._retry, remaining_s=remaining_s, chance=chance
                )
                if wait_s is None:
                    raise error from failure
                await asyncio.sleep(wait_s)
            else:
                return answer

    async def _wait_connected(self, deadline: Deadline) -> None:
        """Wait for a connection, boundedly; the call that follows tells why there is none."""
        channel = self._channel()
        if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        wait_s = min(self._retry.connect_timeout_s, deadline.remaining_s())
        with suppress(TimeoutError):
            await asyncio.wait_for(channel.channel_ready(), max(0.0, wait_s))

    async def close(self) -> None:
        """Cancel what runs and close the connections."""
        self._closed = True
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> Self:
        """Give the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()
