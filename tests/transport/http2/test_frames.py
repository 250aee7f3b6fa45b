"""Frames as bytes, against python-hyper's hyperframe."""

import hyperframe.frame as theirs
import pytest

from segserve.transport.http2 import frames
from segserve.transport.http2.frames import ConnectionFault, ErrorCode, Flag, Kind, Setting


def parsed(data):
    frame, length = theirs.Frame.parse_frame_header(memoryview(data[:9]))
    frame.parse_body(memoryview(data[9:]))
    assert length == len(data) - 9
    return frame


def test_settings():
    frame = parsed(frames.settings({Setting.ENABLE_PUSH: 0, Setting.MAX_FRAME_SIZE: 1 << 20}))
    assert (frame.stream_id, frame.settings) == (0, {2: 0, 5: 1 << 20})


def test_settings_are_read():
    payload = theirs.SettingsFrame(settings={3: 7, 4: 2**31 - 1}).serialize()[9:]
    assert frames.read_settings(payload) == {3: 7, 4: 2**31 - 1}
    assert frames.read_settings(b"") == {}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"12345", ErrorCode.FRAME_SIZE_ERROR),
        (theirs.SettingsFrame(settings={2: 2}).serialize()[9:], ErrorCode.PROTOCOL_ERROR),
        (theirs.SettingsFrame(settings={4: 2**31}).serialize()[9:], ErrorCode.FLOW_CONTROL_ERROR),
        (theirs.SettingsFrame(settings={5: 16_383}).serialize()[9:], ErrorCode.PROTOCOL_ERROR),
        (theirs.SettingsFrame(settings={5: 1 << 24}).serialize()[9:], ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_broken_settings(payload, code):
    with pytest.raises(ConnectionFault) as caught:
        frames.read_settings(payload)
    assert caught.value.code is code


def test_small_frames():
    update = parsed(frames.window_update(5, 77))
    assert (update.stream_id, update.window_increment) == (5, 77)
    reset = parsed(frames.reset(7, ErrorCode.CANCEL))
    assert (reset.stream_id, reset.error_code) == (7, 8)
    away = parsed(frames.goaway(9, ErrorCode.ENHANCE_YOUR_CALM, "too much"))
    assert (away.last_stream_id, away.error_code, away.additional_data) == (9, 11, b"too much")
    ping = parsed(frames.ping(b"12345678", Flag.ACK))
    assert (ping.opaque_data, set(ping.flags)) == (b"12345678", {"ACK"})
    assert "ACK" in parsed(frames.SETTINGS_ACK).flags


def test_head_round_trip():
    data = memoryview(b"x" + frames.head(Kind.DATA, 9, 2**31 - 1, 2**24 - 1))
    assert frames.read_head(data, 1) == (2**24 - 1, 0, 9, 2**31 - 1)
    data = memoryview(frames.head(Kind.PING, 1, 0, 8)[:5] + b"\xff\xff\xff\xff")
    assert frames.read_head(data, 0)[3] == 2**31 - 1  # the reserved bit does not count


def test_increment():
    assert frames.read_increment(b"\x80\x00\x01\x02") == 258


@pytest.mark.parametrize(
    ("kind", "stream_id", "size", "code"),
    [
        (Kind.SETTINGS, 1, 6, ErrorCode.PROTOCOL_ERROR),
        (Kind.PING, 1, 8, ErrorCode.PROTOCOL_ERROR),
        (Kind.GOAWAY, 1, 8, ErrorCode.PROTOCOL_ERROR),
        (Kind.PRIORITY, 0, 5, ErrorCode.PROTOCOL_ERROR),
        (Kind.RST_STREAM, 0, 4, ErrorCode.PROTOCOL_ERROR),
        (Kind.RST_STREAM, 1, 5, ErrorCode.FRAME_SIZE_ERROR),
        (Kind.PING, 0, 7, ErrorCode.FRAME_SIZE_ERROR),
        (Kind.WINDOW_UPDATE, 1, 3, ErrorCode.FRAME_SIZE_ERROR),
        (Kind.PRIORITY, 1, 4, ErrorCode.FRAME_SIZE_ERROR),
    ],
)
def test_frames_out_of_place(kind, stream_id, size, code):
    with pytest.raises(ConnectionFault) as caught:
        frames.check_place(kind, stream_id, size)
    assert caught.value.code is code


def test_frames_in_place():
    for stream_id in (0, 1):
        frames.check_place(Kind.WINDOW_UPDATE, stream_id, 4)
        frames.check_place(0xFA, stream_id, 99)
    frames.check_place(Kind.SETTINGS, 0, 600)


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_content(padding):
    frame = theirs.HeadersFrame(1, b"block", pad_length=padding, flags=["PADDED", "PRIORITY"])
    data = frame.serialize()
    assert frames.content(data[9:], data[4]) == b"block"
    assert frames.content(b"block", Flag.END_HEADERS) == b"block"


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abc", b"\xff" * 20])
def test_padding_that_is_too_long(payload):
    with pytest.raises(ConnectionFault, match="padding"):
        frames.content(payload, Flag.PADDED)
