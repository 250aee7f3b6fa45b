"""Many images over one asyncio stream: one task sends, one reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import grpc
import grpc.aio

from segserve.client.conversion import Job, Picture, to_request
from segserve.client.errors import SegserveError
from segserve.client.result import StreamAnswer
from segserve.client.status import from_rpc
from segserve.client.stream_ledger import StreamLedger
from segserve.generated.segserve.v1 import segmentation_pb2 as pb

Inbox = asyncio.Queue[StreamAnswer | BaseException | None]


async def stream_answers(
    call: Any, pictures: Iterable[Picture], job: Job, in_flight: int, silence_s: float
) -> AsyncGenerator[StreamAnswer, None]:
    """Run one stream; as `segserve.client.sync_stream.stream_answers`.

    Parameters
    ----------
    call : grpc.aio.StreamStreamCall
        Open, nothing written yet.
    pictures : iterable
        Drawn on the loop.
    job : Job
    in_flight : int
        Most images sent or answered and not yet yielded.
    silence_s : float
        The longest wait for an answer while one is due.

    Yields
    ------
    StreamAnswer

    Raises
    ------
    SegserveError
        When the stream fails, ends early, or stays silent.
    """
    room, ledger = asyncio.Semaphore(in_flight), StreamLedger()
    inbox: Inbox = asyncio.Queue()
    sender = asyncio.create_task(_send(call, pictures, job, ledger, (room, inbox)))
    reader = asyncio.create_task(_read(call, ledger, inbox))
    try:
        while (answer := await _next(inbox, ledger, silence_s)) is not None:
            room.release()
            yield answer
    finally:
        call.cancel()
        sender.cancel()
        reader.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)


async def _next(inbox: Inbox, ledger: StreamLedger, silence_s: float) -> StreamAnswer | None:
    while True:
        try:
            entry = await asyncio.wait_for(inbox.get(), silence_s)
        except TimeoutError:
            ledger.check_silence(silence_s)
            continue
        if isinstance(entry, BaseException):
            raise entry
        if entry is None:
            ledger.check_complete()
        return entry


async def _send(
    call: Any,
    pictures: Iterable[Picture],
    job: Job,
    ledger: StreamLedger,
    flow: tuple[asyncio.Semaphore, Inbox],
) -> None:
    room, inbox = flow
    try:
        for index, picture in enumerate(pictures):
            await room.acquire()
            try:
                request = to_request(picture, job, str(index))
            except SegserveError as error:
                inbox.put_nowait(StreamAnswer(index, error=error))
                continue
            ledger.sent(index)
            await call.write(pb.SegmentStreamRequest(request=request))
        await call.done_writing()
    except (grpc.RpcError, asyncio.InvalidStateError):
        return  # the stream has failed: the reader tells why
    except Exception as error:  # noqa: BLE001  of the caller's iterable: raised to the caller
        inbox.put_nowait(error)


async def _read(call: Any, ledger: StreamLedger, inbox: Inbox) -> None:
    try:
        async for message in call:
            inbox.put_nowait(ledger.answered(message))
        inbox.put_nowait(None)
    except grpc.aio.AioRpcError as failure:
        inbox.put_nowait(from_rpc(failure))
    except SegserveError as error:
        inbox.put_nowait(error)
