"""Many images over one blocking stream: a thread reads, gRPC's own thread sends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import grpc

from segserve.client.conversion import Job, Picture, to_request
from segserve.client.errors import SegserveError
from segserve.client.result import StreamAnswer
from segserve.client.status import from_rpc
from segserve.client.stream_ledger import StreamLedger
from segserve.generated.segserve.v1 import segmentation_pb2 as pb

_LOOK_S = 0.1
"""How often a sender that waits for room looks whether the stream has ended."""


class Call(Protocol):
    """An open stream, as gRPC gives it."""

    def __iter__(self) -> Iterator[pb.SegmentStreamResponse]:
        """Give the answers as they come."""

    def cancel(self) -> bool:
        """End it."""


Start = Callable[[Iterator[pb.SegmentStreamRequest]], Call]
Inbox = queue.SimpleQueue[StreamAnswer | BaseException | None]


def stream_answers(
    start: Start,
    pictures: Iterable[Picture],
    job: Job,
    in_flight: int,
    silence_s: float,
) -> Iterator[StreamAnswer]:
    """Run one stream.

    Parameters
    ----------
    start : callable
        Opens the stream over an iterator of requests.
    pictures : iterable
        Drawn in gRPC's sending thread; what it raises is raised to the caller.
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
    room, inbox, ledger = threading.Semaphore(in_flight), Inbox(), StreamLedger()
    stopped = threading.Event()
    call = start(_requests(pictures, job, ledger, (room, stopped, inbox)))
    reader = threading.Thread(target=_read, args=(call, ledger, inbox), daemon=True)
    reader.start()
    try:
        while True:
            answer = _next(inbox, ledger, silence_s)
            if answer is None:
                return
            room.release()
            yield answer
    finally:
        stopped.set()
        call.cancel()
        reader.join()


def _next(inbox: Inbox, ledger: StreamLedger, silence_s: float) -> StreamAnswer | None:
    while True:
        try:
            entry = inbox.get(timeout=silence_s)
        except queue.Empty:
            ledger.check_silence(silence_s)
            continue
        if isinstance(entry, BaseException):
            raise entry
        if entry is None:
            ledger.check_complete()
        return entry


def _requests(
    pictures: Iterable[Picture],
    job: Job,
    ledger: StreamLedger,
    flow: tuple[threading.Semaphore, threading.Event, Inbox],
) -> Iterator[pb.SegmentStreamRequest]:
    room, stopped, inbox = flow
    try:
        for index, picture in enumerate(pictures):
            while not room.acquire(timeout=_LOOK_S):
                if stopped.is_set():
                    return
            try:
                request = to_request(picture, job, str(index))
            except SegserveError as error:
                inbox.put(StreamAnswer(index, error=error))
                continue
            ledger.sent(index)
            yield pb.SegmentStreamRequest(request=request)
    except Exception as error:  # noqa: BLE001  of the caller's iterable: raised in the caller's thread
        inbox.put(error)


def _read(call: Call, ledger: StreamLedger, inbox: Inbox) -> None:
    try:
        for message in call:
            inbox.put(ledger.answered(message))
        inbox.put(None)
    except grpc.RpcError as failure:
        inbox.put(from_rpc(failure))
    except SegserveError as error:
        inbox.put(error)
