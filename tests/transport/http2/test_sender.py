"""What leaves, when, and in which order."""

import hyperframe.frame as theirs
import pytest

from segserve.transport.http2.frames import ConnectionFault, Setting
from segserve.transport.http2.headers import written
from segserve.transport.http2.sender import Sender

HEAD, TRAILERS = written(((b"a", b"1"),)), written(((b"z", b"9"),))


class Wire:
    def __init__(self):
        self.writes = []

    def __call__(self, buffers):
        self.writes.append(b"".join(bytes(buffer) for buffer in buffers))

    def frames(self):
        data, told = b"".join(self.writes), []
        self.writes.clear()
        while data:
            frame, length = theirs.Frame.parse_frame_header(memoryview(data[:9]))
            frame.parse_body(memoryview(data[9 : 9 + length]))
            data = data[9 + length :]
            ended = "END_STREAM" in frame.flags
            body = "trailers" if getattr(frame, "data", b"") == TRAILERS else len(frame.data)
            told.append((frame.stream_id, body, ended))
        return told


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def sender(wire):
    return Sender(wire)


def answer(sender, stream_id, *parts):
    stream = sender.open(stream_id)
    sender.headers(stream, HEAD)
    sender.body(stream, *parts)
    sender.end(stream, TRAILERS)
    return stream


def test_a_small_answer_leaves_in_one_write(wire, sender):
    stream = answer(sender, 1, b"12345", b"x" * 95)
    assert wire.writes == []
    sender.flush()
    assert len(wire.writes) == 1
    assert wire.frames() == [(1, len(HEAD), False), (1, 100, False), (1, "trailers", True)]
    assert (stream.ended, sender.idle) == (True, True)
    sender.flush()
    assert wire.writes == []


def test_nothing_is_copied(sender, wire):
    body, seen = memoryview(bytearray(1000)), []
    copying = Sender(seen.extend)
    stream = copying.open(1)
    copying.body(stream, body)
    copying.flush()
    assert seen[1] is body


def test_a_stream_s_window_holds_its_answer_back_alone(wire, sender):
    answer(sender, 1, bytes(65_535))
    big, small = bytes(30_000), b"y"
    sender.window_update(0, 100_000)
    stream = sender.open(3)
    sender.body(stream, bytes(65_000))
    sender.body(stream, big)
    sender.end(stream, TRAILERS)
    answer(sender, 5, small)
    sender.flush()
    told = wire.frames()
    assert sum(size for stream_id, size, _ in told if stream_id == 3) == 65_535
    assert told[-1] == (5, "trailers", True)
    assert stream.pending_bytes == 95_000 - 65_535
    sender.window_update(3, 29_465)
    sender.flush()
    assert wire.frames()[-1] == (3, "trailers", True)
    assert (stream.pending_bytes, sender.idle) == (0, True)


def test_the_connection_s_window_is_shared_in_turns(wire, sender):
    answer(sender, 1, bytes(65_535))
    for stream_id in (3, 5):
        answer(sender, stream_id, bytes(40_000))
    sender.flush()
    wire.frames()
    sender.window_update(0, 4 * 16_384)
    sender.flush()
    assert wire.frames() == [(n, 16_384, False) for n in (3, 5, 3, 5)]
    assert not sender.idle


def test_frames_are_as_long_as_the_peer_allows(wire, sender):
    sender.settings({Setting.MAX_FRAME_SIZE: 50_000, Setting.INITIAL_WINDOW_SIZE: 200_000})
    sender.window_update(0, 100_000)
    answer(sender, 1, bytes(120_000))
    sender.flush()
    assert [size for _, size, _ in wire.frames()] == [len(HEAD), 50_000, 50_000, 20_000, "trailers"]


def test_a_window_may_become_negative(wire, sender):
    stream = sender.open(1)
    sender.body(stream, bytes(60_000))
    sender.settings({Setting.INITIAL_WINDOW_SIZE: 10_000})
    sender.body(stream, b"x")
    sender.flush()
    assert len(wire.frames()) == 4
    sender.window_update(1, 50_000)
    sender.flush()
    assert wire.frames() == []
    sender.window_update(1, 1)
    sender.flush()
    assert wire.frames() == [(1, 1, False)]


def test_a_dropped_stream_sends_nothing_more(wire, sender):
    stream = answer(sender, 1, bytes(70_000))
    sender.flush()
    wire.frames()
    sender.drop(1)
    sender.window_update(1, 70_000)
    sender.window_update(0, 70_000)
    sender.flush()
    assert (wire.frames(), stream.ended, sender.idle) == ([], True, True)


@pytest.mark.parametrize("stream_id", [0, 1])
@pytest.mark.parametrize("size", [0, 2**31 - 1])
def test_windows_that_grow_wrongly(sender, stream_id, size):
    sender.open(1)
    with pytest.raises(ConnectionFault, match="window"):
        sender.window_update(stream_id, size)


def test_a_setting_that_makes_a_window_too_large(sender):
    sender.open(1)
    sender.window_update(1, 1000)
    with pytest.raises(ConnectionFault, match="window"):
        sender.settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})


def test_what_a_setting_counts_is_open_streams(sender):
    sender.open(1)
    sender.window_update(1, 1000)
    sender.drop(1)
    sender.open(3)
    sender.settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
    with pytest.raises(ConnectionFault, match="window"):
        sender.window_update(3, 1)


def test_settings_that_change_again_before_anything_leaves(wire, sender):
    answer(sender, 1, bytes(65_535))  # all that the connection's window allows
    waiting = sender.open(3)
    sender.body(waiting, bytes(1000))
    sender.flush()
    wire.frames()
    sender.settings({Setting.INITIAL_WINDOW_SIZE: 0})
    sender.window_update(0, 10_000)
    sender.flush()
    assert wire.frames() == []
    for window_bytes in (1000, 0, 400):
        sender.settings({Setting.INITIAL_WINDOW_SIZE: window_bytes})
    sender.flush()
    assert wire.frames() == [(3, 400, False)]
    assert waiting.pending_bytes == 600
