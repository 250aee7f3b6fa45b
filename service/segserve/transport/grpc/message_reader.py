"""A gRPC body cut into messages: a flag, a length of four bytes, the message.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. A message that comes whole is copied
once; a longer one gets its memory when its length is known, and is read straight into it.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from dataclasses import dataclass

import numpy as np

from segserve.core.errors import Overloaded, TooLarge
from segserve.transport.grpc.failures import EXHAUSTED, RETRY_SOON_S, failed
from segserve.transport.grpc.methods import RpcFailed
from segserve.transport.tensor_bytes import Buffer

PREFIX = struct.Struct(">BI")
_MAX_ENCODING = 40
_WBITS = {b"gzip": 31, b"deflate": 15}
MESSAGE_OVERHEAD_BYTES = 256
"""What a message that waits is counted at beside its bytes."""
ENCODINGS = b"identity,deflate,gzip"


@dataclass(frozen=True)
class Message:
    """One message as it came."""

    data: Buffer
    compressed: bool


class Intake:
    """Counts the memory of messages that no method has taken yet, over all connections.

    Parameters
    ----------
    message_bytes : int
        The longest message.
    total_bytes : int
        All of them together.
    """

    def __init__(self, message_bytes: int, total_bytes: int) -> None:
        self.message_bytes = message_bytes
        self._total_bytes = max(total_bytes, message_bytes + MESSAGE_OVERHEAD_BYTES)
        self._taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Make room for bytes that have come.

        Raises
        ------
        RpcFailed
            When too many are here already.
        """
        if self._taken_bytes + size_bytes > self._total_bytes:
            text = (
                f"messages of {self._taken_bytes} bytes are being received already; raise the "
                f"limit with --max-pending-bytes, or send fewer at a time"
            )
            raise failed(Overloaded(text, retry_after_s=RETRY_SOON_S), EXHAUSTED)
        self._taken_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Tell that they are another's now, or dropped."""
        self._taken_bytes -= size_bytes


def check_length(size_bytes: int, limit_bytes: int) -> None:
    """Refuse a message that is too long.

    Raises
    ------
    RpcFailed
    """
    if size_bytes > limit_bytes:
        text = (
            f"Received message larger than max ({size_bytes} vs. {limit_bytes}); raise the limit "
            f"with --max-request-bytes"
        )
        raise failed(TooLarge(text), EXHAUSTED)


class MessageReader:
    """Takes the pieces of one body, and gives its messages; what it holds is counted."""

    __slots__ = ("_at", "_compressed", "_intake", "_prefix", "_target", "_whole")

    def __init__(self, intake: Intake) -> None:
        self._whole: deque[Message] = deque()
        self._intake = intake
        self._prefix = b""
        self._target: memoryview | None = None  # of a long message
        self._at = 0  # how much of it is there
        self._compressed = False

    def __len__(self) -> int:
        """Give the number of whole messages."""
        return len(self._whole)

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._target is not None or bool(self._prefix)

    def pop(self) -> Message:
        """Hand the oldest message over."""
        message = self._whole.popleft()
        self._intake.give_back(len(message.data) + MESSAGE_OVERHEAD_BYTES)
        return message

    def feed(self, piece: memoryview) -> None:
        """Take bytes of the body.

        Raises
        ------
        RpcFailed
            For a message that is too long, or when all messages together are.
        """
        at, end = 0, len(piece)
        while at < end:
            if self._target is not None:
                room = self._target[self._at : self._at + end - at]
                room[:] = piece[at : at + len(room)]
                at += len(room)
                self.filled(len(room))
            else:
                at = self._begin(piece, at, end)

    def room(self) -> memoryview | None:
        """Give where the rest of a long message belongs."""
        return None if self._target is None else self._target[self._at :]

    def filled(self, count: int) -> None:
        """Count bytes that were put into `room`.

        Raises
        ------
        RpcFailed
            When all messages together are too long.
        """
        target = self._target
        if target is None:
            return
        self._intake.take(count)
        self._at += count
        if self._at == len(target):
            self._intake.take(MESSAGE_OVERHEAD_BYTES)
            self._target, self._at = None, 0
            self._whole.append(Message(target, self._compressed))

    def drop(self) -> None:
        """Give up what is here."""
        self._intake.give_back(self._at)
        self._target, self._at = None, 0
        while self._whole:
            self.pop()

    def _begin(self, piece: memoryview, at: int, end: int) -> int:
        """Read a message's prefix, and the message if it is whole; gives where to go on."""
        flag: int
        size_bytes: int
        if self._prefix or end - at < PREFIX.size:
            missing = PREFIX.size - len(self._prefix)
            self._prefix += bytes(piece[at : at + missing])
            at = min(end, at + missing)
            if len(self._prefix) < PREFIX.size:
                return at
            flag, size_bytes = PREFIX.unpack(self._prefix)
            self._prefix = b""
        else:
            flag, size_bytes = PREFIX.unpack_from(piece, at)
            at += PREFIX.size
        check_length(size_bytes, self._intake.message_bytes)
        if size_bytes <= end - at:
            self._intake.take(size_bytes + MESSAGE_OVERHEAD_BYTES)
            self._whole.append(Message(bytes(piece[at : at + size_bytes]), flag == 1))
            return at + size_bytes
        self._target, self._compressed = _memory(size_bytes), flag == 1
        return at


def _memory(size_bytes: int) -> memoryview:
    """Reserve memory, which is not touched until bytes come."""
    try:
        return np.empty(size_bytes, np.uint8).data
    except MemoryError:
        text = f"no memory for a message of {size_bytes} bytes; lower --max-request-bytes"
        raise failed(TooLarge(text), EXHAUSTED) from None


def inflate(data: Buffer, encoding: bytes, limit_bytes: int) -> bytes:
    """Decompress a message.

    Raises
    ------
    RpcFailed
        For an encoding that is not offered, a broken message, and one that becomes too long.
    """
    if encoding not in _WBITS:
        named = encoding[:_MAX_ENCODING].decode("latin-1")
        raise RpcFailed(
            "UNIMPLEMENTED" if encoding not in (b"", b"identity") else "INTERNAL",
            f"a compressed message came with grpc-encoding '{named}'; expected one of "
            f"{ENCODINGS.decode()}",
            (("grpc-accept-encoding", ENCODINGS.decode()),),
        )
    inflater = zlib.decompressobj(wbits=_WBITS[encoding])
    try:
        message = inflater.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise RpcFailed("INTERNAL", f"a message could not be decompressed: {error}") from None
    check_length(len(message), limit_bytes)
    if not inflater.eof or inflater.unused_data:
        what = "bytes follow its end" if inflater.eof else "its end is missing"
        raise RpcFailed("INTERNAL", f"a message could not be decompressed: {what}")
    return message
