"""``segserve.v1.Segmentation``: images in, segmentations out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from segserve.core.errors import NotFound, NotReady, ServiceError
from segserve.core.messages import ModelRef
from segserve.transport import refusals
from segserve.transport.grpc import segmentation_codec as codec
from segserve.transport.grpc.calls import Calls, call_of
from segserve.transport.grpc.encoding import measured
from segserve.transport.grpc.methods import RpcContext, RpcFailed, Service
from segserve.transport.kserve import Call
from segserve.transport.tensor_bytes import Buffer

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

SERVICE = "segserve.v1.Segmentation"
_STREAM = f"{SERVICE}/SegmentStream"
MAX_IN_FLIGHT = 32


class SegmentationServicer:
    """Answers one image a call, or many over a stream.

    A stream has at most `MAX_IN_FLIGHT` images under way; further ones wait in the connection,
    whose flow control then holds the caller back.
    """

    def __init__(self, engine: Engine, calls: Calls) -> None:
        self._engine = engine
        self._calls = calls

    def methods(self) -> Service:
        """Give what a gRPC server serves."""
        return {
            "Segment": self._calls.unary(f"{SERVICE}/Segment", self.segment),
            "SegmentStream": self._calls.stream(_STREAM, self.segment_stream),
        }

    async def segment(self, message: Buffer, context: RpcContext) -> bytes:
        """Segment one image."""
        try:
            return await self._answer(message, call_of(context))
        except ServiceError as error:
            if not error.told:
                error.request_id = codec.request_id(message)
            raise

    async def _answer(self, message: Buffer, call: Call) -> bytes:
        self._calls.check_open()
        request = codec.decode_request(message, call)
        response = await self._engine.segment(request)
        encode = partial(codec.encode_response, response, self._labels(response.model))
        return measured(self._engine, response, encode)

    def _labels(self, ref: ModelRef) -> Sequence[str]:
        try:
            return self._engine.label_names(ref)
        except (NotFound, NotReady):  # unloaded since it answered: ids without names
            return ()

    async def segment_stream(self, messages: AsyncIterator[Buffer], context: RpcContext) -> None:
        """Segment images as they come and answer them as they finish.

        A server that stops takes no further ones; what is under way is answered.
        """
        call = call_of(context)
        slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        writing = asyncio.Lock()

        async def answer(message: Buffer) -> None:
            try:
                written = await self._streamed(message, call)
                async with writing:
                    await context.write(written)
            finally:
                slots.release()

        async def read() -> RpcFailed | None:
            try:
                async for message in messages:
                    await slots.acquire()
                    running.create_task(answer(message))
            except RpcFailed as failure:  # what came before it is answered
                return failure
            return None

        async with asyncio.TaskGroup() as running:
            reading = running.create_task(read())
            with self._calls.ended_by_stop(reading.cancel):
                await asyncio.wait({reading})
        if reading.cancelled():
            self._calls.check_open()
        elif (broken := reading.result()) is not None:
            raise broken

    async def _streamed(self, message: Buffer, call: Call) -> bytes:
        request_id = ""
        try:
            inner = codec.streamed_request(message)
            request_id = codec.request_id(inner)
            return codec.encode_streamed(request_id, await self._answer(inner, call))
        except ServiceError as error:
            error.request_id = request_id
            refusals.tell(_STREAM, error)
            return codec.encode_streamed(request_id, error)
