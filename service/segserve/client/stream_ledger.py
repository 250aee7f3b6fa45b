"""Which images of a stream still have no answer; no threads, no loop."""

from __future__ import annotations

from segserve.client.conversion import from_response
from segserve.client.errors import SegserveError
from segserve.client.result import StreamAnswer
from segserve.client.status import from_stream
from segserve.core.errors import ErrorKind
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


class StreamLedger:
    """Matches answers to images by id; each method is one atomic step on a set."""

    def __init__(self) -> None:
        self._due: set[int] = set()

    def sent(self, index: int) -> None:
        """Note an image that goes out."""
        self._due.add(index)

    def answered(self, message: pb.SegmentStreamResponse) -> StreamAnswer:
        """Match an answer.

        Raises
        ------
        SegserveError
            When no image with this id is due.
        """
        index = int(message.id) if message.id.isdecimal() else -1
        if index not in self._due:
            raise SegserveError(ErrorKind.INTERNAL, f"an answer has an unknown id '{message.id}'")
        self._due.remove(index)
        if message.WhichOneof("outcome") != "response":
            return StreamAnswer(index, error=from_stream(message.error))
        try:
            return StreamAnswer(index, result=from_response(message.response))
        except SegserveError as error:
            return StreamAnswer(index, error=error)

    def check_silence(self, silence_s: float) -> None:
        """Raise when an answer was due for `silence_s`."""
        if self._due:
            raise SegserveError(
                ErrorKind.DEADLINE_EXCEEDED,
                f"no answer for {silence_s:g} s while {len(self._due)} images were due",
            )

    def check_complete(self) -> None:
        """Raise when the stream has ended and answers are due."""
        if self._due:
            raise SegserveError(
                ErrorKind.UNAVAILABLE, f"the stream ended with {len(self._due)} images unanswered"
            )
