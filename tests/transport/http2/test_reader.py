"""The same frames, however the bytes are cut."""

import hyperframe.frame as theirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.transport.http2.frames import PREFACE, ConnectionFault, ErrorCode
from segserve.transport.http2.reader import (
    BUFFER_BYTES,
    MAX_DATA_BYTES,
    FrameReader,
    NotHttp2,
)


class Sink:
    """Writes down what it is told."""

    def __init__(self, room=None):
        self.told, self.target, self.at, self.direct_bytes = [], room, 0, 0

    def opened(self):
        self.told.append("opened")

    def data_begins(self, stream_id, size_bytes):
        self.told.append(["data", stream_id, size_bytes, b""])

    def data(self, stream_id, piece):
        assert self.told[-1][1] == stream_id
        self.told[-1][3] += bytes(piece)
        if self.target is not None:
            self.target[self.at : self.at + len(piece)] = piece
            self.at += len(piece)

    def data_ends(self, stream_id, *, last):
        self.told.append(("end", stream_id, last))

    def room(self, stream_id):
        return None if self.target is None else memoryview(self.target)[self.at :]

    def filled(self, stream_id, count):
        self.at += count
        self.direct_bytes += count

    def headers(self, stream_id, block, *, last):
        self.told.append(("headers", stream_id, block, last))

    def control(self, kind, flags, stream_id, payload):
        self.told.append(("control", kind, flags, stream_id, payload))


def read(data, cuts=(), sink=None):
    sink = sink or Sink()
    reader = FrameReader(sink)
    limits = [*cuts, len(data)]
    while data:
        view = reader.buffer()
        count = min(len(view), len(data), max(1, limits.pop(0) if limits else len(data)))
        view[:count] = data[:count]
        reader.received(count)
        data = data[count:]
    return sink.told


FRAMES = (
    theirs.SettingsFrame(settings={3: 7}),
    theirs.HeadersFrame(1, b"block", flags=["END_HEADERS", "END_STREAM"]),
    theirs.HeadersFrame(3, b"ab", flags=[]),
    theirs.ContinuationFrame(3, b"cd", flags=[]),
    theirs.ContinuationFrame(3, b"", flags=["END_HEADERS"]),
    theirs.DataFrame(3, b"0123456789"),
    theirs.DataFrame(3, b"xyz", pad_length=200, flags=["PADDED"]),
    theirs.DataFrame(3, b"", pad_length=3, flags=["PADDED"]),
    theirs.DataFrame(3, b"", flags=["END_STREAM"]),
    theirs.PingFrame(0, b"12345678"),
    theirs.HeadersFrame(5, b"p", pad_length=4, flags=["PADDED", "PRIORITY", "END_HEADERS"]),
)
BYTES = PREFACE + b"".join(frame.serialize() for frame in FRAMES)
TOLD = [
    "opened",
    ("control", 4, 0, 0, theirs.SettingsFrame(settings={3: 7}).serialize()[9:]),
    ("headers", 1, b"block", True),
    ("headers", 3, b"abcd", False),
    ["data", 3, 10, b"0123456789"],
    ("end", 3, False),
    ["data", 3, 204, b"xyz"],
    ("end", 3, False),
    ["data", 3, 4, b""],
    ("end", 3, False),
    ["data", 3, 0, b""],
    ("end", 3, True),
    ("control", 6, 0, 0, b"12345678"),
    ("headers", 5, b"p", False),
]


def test_all_at_once():
    assert read(BYTES) == TOLD


def test_byte_by_byte():
    assert read(BYTES, [1] * len(BYTES)) == TOLD


@given(st.lists(st.integers(1, 40), max_size=60))
def test_cut_anywhere(cuts):
    assert read(BYTES, cuts) == TOLD


@pytest.mark.parametrize("size", [BUFFER_BYTES - 9, BUFFER_BYTES, 300_000, MAX_DATA_BYTES])
def test_long_data_goes_straight_into_its_place(size):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    sink = Sink(bytearray(size))
    told = read(PREFACE + theirs.DataFrame(1, body).serialize() + BYTES[len(PREFACE) :], (), sink)
    assert bytes(sink.target[:size]) == body
    assert sink.direct_bytes >= size - BUFFER_BYTES
    assert told[-len(TOLD) + 1 :] == TOLD[1:]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (theirs.DataFrame(1, bytes(MAX_DATA_BYTES + 1)), ErrorCode.FRAME_SIZE_ERROR),
        (theirs.HeadersFrame(1, bytes(BUFFER_BYTES)), ErrorCode.FRAME_SIZE_ERROR),
        (theirs.ContinuationFrame(1, b"x"), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_frames_that_break_rules(frame, code):
    with pytest.raises(ConnectionFault) as caught:
        read(PREFACE + frame.serialize())
    assert caught.value.code is code


def test_padding_over_the_frame():
    head = theirs.DataFrame(1, b"abcd").serialize()
    broken = head[:4] + b"\x08" + head[5:9] + b"\x09bcd"
    with pytest.raises(ConnectionFault, match="padding"):
        read(PREFACE + broken)


def test_another_frame_amid_headers():
    frames = theirs.HeadersFrame(1, b"x"), theirs.PingFrame(0, b"12345678")
    with pytest.raises(ConnectionFault, match="CONTINUATION"):
        read(PREFACE + b"".join(frame.serialize() for frame in frames))
    frames = theirs.HeadersFrame(1, b"x"), theirs.ContinuationFrame(3, b"y")
    with pytest.raises(ConnectionFault, match="CONTINUATION"):
        read(PREFACE + b"".join(frame.serialize() for frame in frames))


@pytest.mark.parametrize("piece", [b"", b"x" * 10_000])
def test_headers_without_end(piece):
    data = theirs.HeadersFrame(1, b"x").serialize()
    data += theirs.ContinuationFrame(1, piece).serialize() * 40
    with pytest.raises(ConnectionFault) as caught:
        read(PREFACE + data)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01", b"PRI * X"])
def test_other_protocols(first):
    with pytest.raises(NotHttp2) as caught:
        read(first)
    assert b"--http-port" in caught.value.answer
    assert caught.value.answer.startswith(b"HTTP/1.1 400 ")
