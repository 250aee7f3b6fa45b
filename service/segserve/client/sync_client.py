"""The blocking client; safe to share between threads."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import grpc

from segserve.client.channel import (
    HEALTH_CHECK,
    SEGMENT,
    SEGMENT_STREAM,
    channel_options,
    target_of,
)
from segserve.client.conversion import Job, Picture, from_response, to_request
from segserve.client.errors import SegserveError
from segserve.client.result import SegmentResult, StreamAnswer
from segserve.client.retry import RetryPolicy, wait_before_retry_s
from segserve.client.status import from_rpc
from segserve.client.sync_stream import stream_answers
from segserve.core.deadline import Deadline
from segserve.core.errors import ErrorKind
from segserve.core.options import DEFAULT_OPTIONS, SegmentOptions
from segserve.generated.segserve.v1 import segmentation_pb2 as pb

_NOT_CONNECTED = (ErrorKind.DEADLINE_EXCEEDED, ErrorKind.UNAVAILABLE)


class Client:
    """Sends images to one or several servers.

    Parameters
    ----------
    addresses : str or sequence of str
        ``host:port``; calls go round-robin over several, and over all that one name resolves to.
    timeout_s : float
        For one image, from the call to its answer, waits and retries included.
    retry : RetryPolicy

    Raises
    ------
    SegserveError
        When an address cannot be read.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] = "localhost:8001",
        *,
        timeout_s: float = 300.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        target = target_of(addresses)
        self._channel = grpc.insecure_channel(target, options=channel_options(target))
        self._closed = False
        self._connected = False
        self._health = self._channel.unary_unary(HEALTH_CHECK, bytes, bytes)
        self._segment = self._channel.unary_unary(
            SEGMENT,
            request_serializer=pb.SegmentRequest.SerializeToString,
            response_deserializer=pb.SegmentResponse.FromString,
        )
        self._stream = self._channel.stream_stream(
            SEGMENT_STREAM,
            request_serializer=pb.SegmentStreamRequest.SerializeToString,
            response_deserializer=pb.SegmentStreamResponse.FromString,
        )

    def segment(
        self,
        image: Picture,
        model: str,
        options: SegmentOptions = DEFAULT_OPTIONS,
        *,
        version: int | None = None,
        priority: int | None = None,
        timeout_s: float | None = None,
    ) -> SegmentResult:
        """Segment one image.

        Parameters
        ----------
        image : bytes, Path or uint8 [H, W, 3]
            An encoded JPEG, PNG or WebP, the path of one, or RGB pixels.
        model : str
        options : SegmentOptions
            What is unset is as the model's config says.
        version : int, optional
            Default: the newest that is served.
        priority : int, optional
            1 is the highest; below the model's default level it is bulk work, which waits behind
            interactive requests. Default: the model's level.
        timeout_s : float, optional
            Default: the client's.

        Raises
        ------
        SegserveError
            Whatever went wrong, by kind.
        """
        request = to_request(image, Job(model, version, options, priority))
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        return from_response(self._send(request, deadline))

    def segment_many(
        self,
        images: Iterable[Picture],
        model: str,
        options: SegmentOptions = DEFAULT_OPTIONS,
        *,
        version: int | None = None,
        priority: int | None = None,
        in_flight: int = 16,
    ) -> Iterator[StreamAnswer]:
        """Segment many images over one stream, which one server answers.

        At most `in_flight` images are with the server or unread at a time; `images` is drawn as
        there is room. Leaving the loop cancels what runs. A `priority` of 2 says that it is bulk
        work, as in `segment`.

        Yields
        ------
        StreamAnswer
            As they finish; a failed image is an answer too.

        Raises
        ------
        SegserveError
            When the stream itself fails, or stays silent for the client's `timeout_s`; it is not
            taken up again.
        """
        self._wait_connected(Deadline.after(self._timeout_s))
        yield from stream_answers(
            self._stream, images, Job(model, version, options, priority), in_flight, self._timeout_s
        )

    def _send(self, request: pb.SegmentRequest, deadline: Deadline) -> pb.SegmentResponse:
        sent = 0
        while True:
            self._wait_connected(deadline)
            sent += 1
            try:
                answer: pb.SegmentResponse = self._segment(
                    request, timeout=max(0.0, deadline.remaining_s())
                )
            except grpc.RpcError as failure:
                error = from_rpc(failure)
                self._connected &= error.kind is not ErrorKind.UNAVAILABLE
                remaining_s = deadline.remaining_s()
                chance = random.random()  # noqa: S311  spreads callers; no secret
                wait_s = wait_before_retry_s(
                    error, sent, self._retry, remaining_s=remaining_s, chance=chance
                )
                if wait_s is None:
                    raise error from failure
                time.sleep(wait_s)
            else:
                return answer

    def _wait_connected(self, deadline: Deadline) -> None:
        """Wait for a connection, boundedly; the call that follows tells why there is none.

        Waits with a health check, whose answer does not matter: gRPC's own readiness future leaves
        a thread behind that raises when the channel is closed soon after.
        """
        if self._closed:
            raise SegserveError(ErrorKind.CANCELLED, "the client is closed")
        if self._connected:
            return
        wait_s = max(0.0, min(self._retry.connect_timeout_s, deadline.remaining_s()))
        try:
            self._health(b"", timeout=wait_s, wait_for_ready=True)
            self._connected = True
        except grpc.RpcError as failure:
            self._connected = from_rpc(failure).kind not in _NOT_CONNECTED

    def close(self) -> None:
        """Cancel what runs and close the connections."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
