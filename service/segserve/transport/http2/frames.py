"""HTTP/2 frames as bytes: RFC 9113, sections 4, 6 and 7."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
DEFAULT_WINDOW_BYTES = 65_535
DEFAULT_FRAME_BYTES = 16_384
MAX_WINDOW_BYTES = 2**31 - 1
MAX_STREAM = 2**31 - 1
KEEPALIVE_PING, RETIRING_PING = b"segserve", b"retiring"
_HEAD = struct.Struct(">IBI")
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_GOAWAY = struct.Struct(">II")


class Kind:
    """Types of frames: plain numbers, since every frame is compared with several."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag:
    """Flags of frames, plain numbers too; ACK belongs to SETTINGS and PING."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(IntEnum):
    """Names of settings."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The peer broke a rule, so the connection ends.

    Parameters
    ----------
    code : ErrorCode
    text : str
        Goes to the peer in GOAWAY.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def head(kind: int, flags: int, stream_id: int, size_bytes: int) -> bytes:
    """Write the nine bytes before a frame's payload."""
    return _HEAD.pack(size_bytes << 8 | kind, flags, stream_id)


def read_head(data: memoryview, at: int) -> tuple[int, int, int, int]:
    """Read payload size in bytes, kind, flags and stream of the frame that starts at `at`."""
    word, flags, stream_id = _HEAD.unpack_from(data, at)
    return word >> 8, word & 0xFF, flags, stream_id & MAX_STREAM


def settings(values: dict[Setting, int]) -> bytes:
    """Write a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return head(Kind.SETTINGS, 0, 0, len(payload)) + payload


def read_settings(payload: bytes) -> dict[int, int]:
    """Read a SETTINGS payload; the last value of a name counts.

    Raises
    ------
    ConnectionFault
        For a payload that is no row of settings, or a value out of its range.
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a broken size")
    values = dict(_SETTING.iter_unpack(payload))
    if values.get(Setting.ENABLE_PUSH, 0) > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
    if values.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW_BYTES:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE over 2^31-1")
    frame_bytes = values.get(Setting.MAX_FRAME_SIZE, DEFAULT_FRAME_BYTES)
    if not DEFAULT_FRAME_BYTES <= frame_bytes < 1 << 24:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of its range")
    return values


def window_update(stream_id: int, size_bytes: int) -> bytes:
    """Write a WINDOW_UPDATE frame."""
    return head(Kind.WINDOW_UPDATE, 0, stream_id, 4) + _NUMBER.pack(size_bytes)


def reset(stream_id: int, code: ErrorCode) -> bytes:
    """Write a RST_STREAM frame."""
    return head(Kind.RST_STREAM, 0, stream_id, 4) + _NUMBER.pack(code)


def goaway(last_stream_id: int, code: ErrorCode, text: str = "") -> bytes:
    """Write a GOAWAY frame."""
    payload = _GOAWAY.pack(last_stream_id, code) + text.encode()
    return head(Kind.GOAWAY, 0, 0, len(payload)) + payload


def opens_stream(data: bytes) -> bool:
    """Look for HEADERS in a client's first bytes, before they are served."""
    at = len(PREFACE)
    while at + HEAD_BYTES <= len(data):
        if data[at + 3] == Kind.HEADERS:
            return True
        at += HEAD_BYTES + int.from_bytes(data[at : at + 3], "big")
    return False


def retiring() -> bytes:
    """Announce that the connection will end; the answer to the ping tells that the peer knows.

    The ping comes first, in one piece with the GOAWAY: peers built on python-hyper's h2 take no
    ping after one.
    """
    return ping(RETIRING_PING) + goaway(MAX_STREAM, ErrorCode.NO_ERROR)


def ping(payload: bytes, flags: int = 0) -> bytes:
    """Write a PING frame; `payload` has eight bytes."""
    return head(Kind.PING, flags, 0, len(payload)) + payload


def check_place(kind: int, stream_id: int, size_bytes: int) -> None:
    """Look whether a frame other than DATA and HEADERS belongs where it came.

    Raises
    ------
    ConnectionFault
        When it stands on a stream and means the connection, or the other way round, or when its
        size is not that of its kind.
    """
    if kind in _OF_CONNECTION and stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of kind {kind} on a stream")
    if kind in _OF_STREAM and not stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of kind {kind} on stream 0")
    if _SIZES_BYTES.get(kind, size_bytes) != size_bytes:
        text = f"a frame of kind {kind} has {_SIZES_BYTES[kind]} bytes, not {size_bytes}"
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text)


_OF_CONNECTION = frozenset((Kind.SETTINGS, Kind.PING, Kind.GOAWAY))
_OF_STREAM = frozenset((Kind.PRIORITY, Kind.RST_STREAM))
_SIZES_BYTES = {Kind.PRIORITY: 5, Kind.RST_STREAM: 4, Kind.PING: 8, Kind.WINDOW_UPDATE: 4}
SETTINGS_ACK = head(Kind.SETTINGS, Flag.ACK, 0, 0)


def read_increment(payload: bytes) -> int:
    """Read the payload of WINDOW_UPDATE."""
    number: int = _NUMBER.unpack(payload)[0]
    return number & MAX_WINDOW_BYTES


def content(payload: bytes, flags: int) -> bytes:
    """Take padding and priority off a HEADERS payload.

    Raises
    ------
    ConnectionFault
        When the padding is longer than the payload.
    """
    start, end = 0, len(payload)
    if flags & Flag.PADDED:
        start = 1
        end -= payload[0] if payload else end + 1
    if flags & Flag.PRIORITY:
        start += 5
    if end < start:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return payload[start:end]
