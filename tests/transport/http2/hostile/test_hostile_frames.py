"""Frames that break rules, first bytes of other protocols, and frames of ours at odd moments."""

import asyncio
import struct

import pytest
from hyperframe.frame import SettingsFrame

from segserve.transport.http2.frames import PREFACE, Kind, head
from segserve.transport.http2.headers import HeaderReader
from segserve.transport.http2.reader import FrameReader

OK = 0
WAIT_S = 5


def raw(kind, flags, stream_id, payload=b""):
    """Make any frame."""
    return head(kind, flags, stream_id, len(payload)) + payload


BROKEN = {
    "DATA on stream 0": raw(Kind.DATA, 0, 0, b"x"),
    "DATA on a stream that never was": raw(Kind.DATA, 0, 9, b"x"),
    "HEADERS on stream 0": raw(Kind.HEADERS, 5, 0, b"\x82"),
    "HEADERS on a server's stream": raw(Kind.HEADERS, 5, 2, b"\x82"),
    "SETTINGS on a stream": raw(Kind.SETTINGS, 0, 1),
    "SETTINGS of a broken size": raw(Kind.SETTINGS, 0, 0, bytes(5)),
    "SETTINGS ACK with a payload": raw(Kind.SETTINGS, 1, 0, bytes(6)),
    "ENABLE_PUSH of 2": raw(Kind.SETTINGS, 0, 0, struct.pack(">HI", 2, 2)),
    "INITIAL_WINDOW_SIZE of 2^31": raw(Kind.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)),
    "MAX_FRAME_SIZE of 1": raw(Kind.SETTINGS, 0, 0, struct.pack(">HI", 5, 1)),
    "PING on a stream": raw(Kind.PING, 0, 1, bytes(8)),
    "PING of seven bytes": raw(Kind.PING, 0, 0, bytes(7)),
    "GOAWAY on a stream": raw(Kind.GOAWAY, 0, 1, bytes(8)),
    "RST_STREAM on stream 0": raw(Kind.RST_STREAM, 0, 0, bytes(4)),
    "RST_STREAM on a stream that never was": raw(Kind.RST_STREAM, 0, 9, bytes(4)),
    "RST_STREAM of three bytes": raw(Kind.RST_STREAM, 0, 1, bytes(3)),
    "WINDOW_UPDATE on a stream that never was": raw(Kind.WINDOW_UPDATE, 0, 9, b"\0\0\0\1"),
    "WINDOW_UPDATE of nothing": raw(Kind.WINDOW_UPDATE, 0, 0, bytes(4)),
    "WINDOW_UPDATE too far": raw(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    "WINDOW_UPDATE of five bytes": raw(Kind.WINDOW_UPDATE, 0, 0, bytes(5)),
    "PUSH_PROMISE": raw(Kind.PUSH_PROMISE, 4, 1, bytes(4)),
    "PRIORITY on stream 0": raw(Kind.PRIORITY, 0, 0, bytes(5)),
    "CONTINUATION alone": raw(Kind.CONTINUATION, 4, 1, b"\x82"),
    "CONTINUATION elsewhere": raw(Kind.HEADERS, 1, 1, b"\x82") + raw(Kind.CONTINUATION, 4, 3, b""),
    "a frame within a header block": raw(Kind.HEADERS, 1, 1, b"\x82")
    + raw(Kind.PING, 0, 0, bytes(8)),
    "an endless header block": raw(Kind.HEADERS, 1, 1) + 100 * raw(Kind.CONTINUATION, 0, 1),
    "padding longer than DATA": raw(Kind.HEADERS, 4, 1, b"\x83") + raw(Kind.DATA, 8, 1, b"\x05abc"),
    "padding longer than HEADERS": raw(Kind.HEADERS, 13, 1, b"\x05\x82"),
    "padding without its length": raw(Kind.HEADERS, 13, 1, b""),
    "priority cut off": raw(Kind.HEADERS, 0x25, 1, b"\0\0\0"),
    "DATA that is too long": raw(Kind.DATA, 0, 1, bytes(20))[:0] + b"\xff\xff\xff\0\0\0\0\0\1",
    "HEADERS that are too long": b"\xff\xff\xff\1\4\0\0\0\1",
    "a header's index of nothing": raw(Kind.HEADERS, 5, 1, b"\xff\xff\x03"),
    "a header's index of 0": raw(Kind.HEADERS, 5, 1, b"\x80"),
    "a header without its end": raw(Kind.HEADERS, 5, 1, b"\x40\x7f"),
    "an endless number": raw(Kind.HEADERS, 5, 1, b"\xff" * 60_000),
    "a table that is too large": raw(Kind.HEADERS, 5, 1, b"\x3f\xe1\xff\x03\x82"),
    "headers that grow": raw(
        Kind.HEADERS, 5, 1, b"\x40\x01a\x7f\x81\x17" + b"b" * 3072 + b"\xbe" * 50
    ),
}


@pytest.mark.parametrize("shaken", [True, False])
def test_what_breaks_http2_ends_the_connection_with_a_goaway(run, serving, shaken):
    async def one(served, name, content):
        peer = await served.peer(shaken=False)
        await peer.send(PREFACE + raw(Kind.SETTINGS, 0, 0) if shaken else PREFACE, content)
        try:
            return name, await peer.ended()
        except TimeoutError:
            return name, "still open"

    async def scenario():
        async with serving() as served:
            told = await asyncio.gather(*(one(served, *row) for row in BROKEN.items()))
            mild = [name for name, code in told if code in (None, 0, "still open")]
            assert not mild, mild
            await served.rests()

    run(scenario())


FIRST_BYTES = {
    "http/1": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "nothing": b"\0",
    "almost": PREFACE[:-1] + b"x",
    "too early": raw(Kind.SETTINGS, 0, 0),
}


def test_what_is_no_http2_is_told_so_and_let_go(run, serving):
    async def one(served, content):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(content)
        async with asyncio.timeout(WAIT_S):
            answer = await reader.read(-1)
        writer.close()
        return answer

    async def scenario():
        async with serving() as served:
            for answer in await asyncio.gather(*(one(served, c) for c in FIRST_BYTES.values())):
                assert answer.startswith(b"HTTP/1.1 400 ")
            await asyncio.sleep(0.02)
            assert not served.front._connections

    run(scenario())


def test_no_frame_is_longer_than_the_peer_allows(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.open(1, "/" + "x" * 20_000, end=True))
            await peer.send(peer.open(3, "/t/Echo", grpc_encoding="%" * 9000))
            await peer.send(peer.data(3, peer.packed(b"x", flag=1)))
            await peer.status(3)
            assert max(frame.body_len for frame in peer.seen) <= 16_384

    run(scenario())


def test_the_first_frame_is_settings_even_while_the_server_stops(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer(shaken=False)
            await asyncio.sleep(0.05)
            served.front.retire()
            await asyncio.sleep(0.05)
            await peer.shake()
            await peer.send(peer.call(1))
            assert await peer.status(1) in (OK, None)
            assert all(isinstance(frame, SettingsFrame) for frame in peer.seen[:1])

    run(scenario())


class Sink:
    """Takes frames, and gives room for a message until the stream is gone."""

    def __init__(self):
        self.target, self.pieces = memoryview(bytearray(40_000)), []

    def opened(self):
        pass

    def data_begins(self, stream_id, size_bytes):
        pass

    def data(self, stream_id, piece):
        self.pieces.append(bytes(piece))

    def data_ends(self, stream_id, *, last):
        self.pieces.append(None)

    def room(self, stream_id):
        return self.target

    def filled(self, stream_id, count):
        self.pieces.append(count)


def test_a_buffer_that_was_not_read_into_is_forgotten():
    """The loop may ask for a buffer and then read nothing into it."""
    sink = Sink()
    reader = FrameReader(sink)

    def receive(content):
        reader.buffer()[: len(content)] = content
        reader.received(len(content))

    receive(PREFACE + raw(Kind.DATA, 1, 1, bytes(30_000))[:10])
    reader.buffer()  # the message's own memory; the socket then has nothing after all
    sink.target = None  # the call is gone
    receive(b"\1" * 29_999 + raw(Kind.DATA, 1, 1, b"end"))
    assert sink.pieces[-2:] == [b"end", None]


def test_what_a_header_block_meant_is_not_kept_beyond_a_resize_of_the_table():
    reader = HeaderReader()
    insert = b"\x40\x01a\x01b"  # a: b, into the table
    assert reader.read(b"\x20") == ()  # the table has no room
    assert reader.read(insert) == ((b"a", b"b"),)  # ... so it stays empty
    assert reader.read(b"\x3f\xe1\x1f") == ()  # 4096 bytes
    assert reader.read(insert) == ((b"a", b"b"),)  # now it is entry 62
    assert reader.read(b"\xbe") == ((b"a", b"b"),)
