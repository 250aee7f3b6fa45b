"""One rpc on one stream: its headers, messages, deadline and answer."""

import asyncio
import struct

import hpack
import pytest

from segserve.transport.grpc.message_reader import Intake
from segserve.transport.grpc.methods import RpcFailed, Streaming, Unary
from segserve.transport.grpc.rpc import Rpc, RpcCount, RpcHead, read_head

POST = ((b":method", b"POST"), (b":path", b"/s/M"), (b"content-type", b"application/grpc+proto"))


class Out:
    """The sending half: ended once all has left."""

    ended, on_end = False, None

    def end(self):
        self.ended = True
        self.on_end()


class Stream:
    """Writes down what is sent."""

    def __init__(self):
        self.blocks, self.sent, self.ended, self.granted = [], b"", False, 0
        self.out, self.holds_back = Out(), False
        self.told_to_stop, self.done = False, asyncio.Event()
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    def head(self, block):
        self.blocks.append(block)

    def body(self, *parts):
        self.sent += b"".join(map(bytes, parts))

    def finish(self, head, trailers, *parts):
        self.head(head)
        self.body(*parts)
        self.end(trailers)

    def end(self, trailers, *, request_ended=True):
        assert not self.ended
        self.ended, self.told_to_stop = True, not request_ended
        self.blocks.append(trailers)
        self.done.set()
        if not self.holds_back:
            self.out.end()

    def grant(self):
        self.granted += 1

    async def drained(self):
        await self.open_gate.wait()

    async def status(self):
        async with asyncio.timeout(5):
            await self.done.wait()
        told = dict(hpack.Decoder().decode(b"".join(self.blocks)))
        return int(told["grpc-status"]), told.get("grpc-message", "")


def framed(message, flag=0):
    return memoryview(struct.pack(">BI", flag, len(message)) + message)


class Case:
    def __init__(self, method, timeout_s=None, limit=1000, encoding=b""):
        self.stream, self.intake, self.count = Stream(), Intake(limit, 2 * limit), RpcCount(5)
        self.count.enter()
        head = RpcHead(b"/s/M", timeout_s, encoding, (("a", "b"),))
        self.rpc = Rpc(self.stream, head, method, self.intake, self.count)

    async def settled(self):
        """Everything that was counted is given back, and the method is at rest."""
        for _ in range(200):
            if self.count.held == 0:
                break
            await asyncio.sleep(0.005)
        assert (self.count.held, self.intake._taken_bytes) == (0, 0)


async def doubled(message, context):
    assert context.invocation_metadata() == (("a", "b"),)
    return bytes(message) * 2


def hanging():
    """Give a method that never answers, and where its end is told."""
    ended = asyncio.Event()

    async def hang(_message, _context):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    return hang, ended


async def test_unary():
    case = Case(Unary(doubled))
    case.rpc.received(framed(b"abc"))
    assert not case.rpc.hungry
    case.rpc.request_ends()
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    assert case.stream.sent == framed(b"abcabc")
    assert case.rpc.time_remaining() is None
    await case.settled()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], "expected one whole message, got none"),
        ([framed(b"a"), framed(b"b")], "expected one message, got more"),
        ([framed(b"a"), framed(b"b")[:2]], "expected one message, got more"),
        ([framed(b"abc")[:6]], "expected one whole message, got none"),
        ([framed(b"abc")[:2]], "expected one whole message, got none"),
    ],
)
async def test_unary_without_its_message(pieces, text):
    case = Case(Unary(doubled))
    for piece in pieces:
        case.rpc.received(piece)
    case.rpc.request_ends()
    assert await case.stream.status() == (13, text)
    await case.settled()


async def test_a_message_that_is_too_long():
    case = Case(Unary(doubled))
    case.rpc.received(framed(bytes(1001))[:7])
    code, text = await case.stream.status()
    assert (code, case.stream.told_to_stop) == (8, True)
    assert "--max-request-bytes" in text
    await case.settled()


async def test_failures():
    async def fail(_message, _context):
        raise RpcFailed("NOT_FOUND", "none", (("x", "y"),))

    case = Case(Unary(fail))
    case.rpc.received(framed(b""))
    case.rpc.request_ends()
    assert await case.stream.status() == (5, "none")
    await case.settled()


@pytest.mark.parametrize("phase", ["request", "method"])
async def test_deadline(phase):
    hang, ended = hanging()
    case = Case(Unary(hang), timeout_s=0.03)
    case.rpc.received(framed(b"abc")[:6] if phase == "request" else framed(b"abc"))
    if phase == "method":
        case.rpc.request_ends()
    assert 0 < case.rpc.time_remaining() <= 0.03
    assert (await case.stream.status())[0] == 4
    await case.settled()
    assert ended.is_set() is (phase == "method")
    assert case.rpc.time_remaining() == 0


@pytest.mark.parametrize("phase", ["request", "method", "answered"])
async def test_lost(phase):
    hang, ended = hanging()
    case = Case(Unary(hang if phase == "method" else doubled))
    case.rpc.received(framed(b"abc")[:6] if phase == "request" else framed(b"abc"))
    if phase != "request":
        case.rpc.request_ends()
        await asyncio.sleep(0.01)
    if not case.stream.out.ended:
        case.stream.out.end()  # as the session does
    case.rpc.lost()
    await case.settled()
    assert case.stream.ended is (phase == "answered")
    assert ended.is_set() is (phase == "method")


async def test_a_server_that_ends():
    hang, ended = hanging()
    case = Case(Unary(hang))
    case.rpc.received(framed(b"abc"))
    case.rpc.request_ends()
    await asyncio.sleep(0.01)
    case.rpc.server_ends()
    assert (await case.stream.status())[0] == 14
    await case.settled()
    assert ended.is_set()


async def test_a_method_that_is_cancelled_from_within_is_answered():
    async def cancel(_message, _context):
        raise asyncio.CancelledError

    case = Case(Unary(cancel))
    case.rpc.received(framed(b"abc"))
    case.rpc.request_ends()
    assert (await case.stream.status())[0] == 1
    await case.settled()


async def test_a_call_lost_before_its_first_step():
    case = Case(Unary(doubled))
    case.rpc.received(framed(b"abc"))
    case.rpc.request_ends()
    case.stream.out.end()
    case.rpc.lost()
    await case.settled()


async def test_a_call_counts_until_its_answer_has_left():
    case = Case(Unary(doubled))
    case.stream.holds_back = True
    case.rpc.received(framed(b"abc"))
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    await asyncio.sleep(0.01)
    assert case.count.held == 1
    case.stream.out.end()
    await case.settled()


async def test_whatever_happens_is_answered(caplog):
    async def crash(_message, _context):
        raise ZeroDivisionError("oh")

    case = Case(Unary(crash))
    case.rpc.received(framed(b"abc"))
    case.rpc.request_ends()
    code, text = await case.stream.status()
    assert (code, "ZeroDivisionError" in text) == (13, True)
    assert [record.message for record in caplog.records] == ["rpc_crashed"]
    await case.settled()


async def test_nothing_is_written_after_the_end():
    started = asyncio.Event()

    async def late(_messages, context):
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await context.write(b"late")

    case = Case(Streaming(late), timeout_s=0.02)
    await started.wait()
    assert (await case.stream.status())[0] == 4
    await case.settled()
    assert case.stream.sent == b""


async def test_streaming():
    async def twice(messages, context):
        async for message in messages:
            await context.write(bytes(message) * 2)

    case = Case(Streaming(twice))
    case.rpc.received(framed(b"a"))
    await asyncio.sleep(0.01)
    assert case.stream.sent == framed(b"aa")
    assert (case.stream.granted, len(case.stream.blocks)) == (1, 1)
    case.rpc.received(memoryview(bytes(framed(b"b")) + bytes(framed(b"c"))))
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    assert case.stream.sent == b"".join(map(framed, (b"aa", b"bb", b"cc")))
    assert not case.stream.told_to_stop
    await case.settled()


async def test_streaming_waits_for_a_slow_reader():
    written = []

    async def many(_messages, context):
        for n in range(3):
            await context.write(b"x")
            written.append(n)

    case = Case(Streaming(many))
    case.stream.open_gate.clear()
    await asyncio.sleep(0.01)
    assert written == []
    case.stream.open_gate.set()
    assert await case.stream.status() == (0, "")
    assert (written, case.stream.told_to_stop) == ([0, 1, 2], True)


async def test_a_stream_that_ends_amid_a_message():
    async def take(messages, _context):
        async for _ in messages:
            pass

    case = Case(Streaming(take))
    case.rpc.received(framed(b"abc")[:7])
    case.rpc.request_ends()
    assert await case.stream.status() == (13, "the last message is not whole")
    await case.settled()


async def test_compressed_messages():
    import gzip

    for size in (10, 200_000):
        case = Case(Unary(doubled), limit=10**6, encoding=b"gzip")
        packed = gzip.compress(bytes(range(250)) * (size // 250 + 1), 0)
        case.rpc.received(framed(packed, flag=1))
        case.rpc.request_ends()
        assert await case.stream.status() == (0, "")
        assert len(case.stream.sent) == 5 + 2 * 250 * (size // 250 + 1)
        await case.settled()


def test_the_count():
    count = RpcCount(1)
    count.enter()
    with pytest.raises(RpcFailed, match="--max-concurrent-rpcs"):
        count.enter()
    count.leave()
    count.enter()
    endless = RpcCount(None)
    for _ in range(5):
        endless.enter()
    assert endless.held == 5


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"0S", 0), (b"250m", 0.25), (b"12345678u", 12.345678)],
)
def test_head(timeout, seconds):
    head = read_head((*POST, (b"grpc-timeout", timeout), (b"grpc-encoding", b"gzip")))
    assert head.timeout_s == pytest.approx(seconds)
    assert (head.path, head.encoding) == (b"/s/M", b"gzip")
    assert ("grpc-encoding", "gzip") in head.metadata
    assert all(not name.startswith(":") for name, _ in head.metadata)


def test_head_without_a_deadline():
    assert read_head(POST).timeout_s is None


@pytest.mark.parametrize(
    "headers",
    [
        POST[1:],
        POST[:2],
        ((b":method", b"GET"), *POST[1:]),
        (*POST, (b"grpc-timeout", b"123456789S")),
        (*POST, (b"grpc-timeout", b"1")),
        (*POST, (b"grpc-timeout", b"-1S")),
    ],
)
def test_what_is_no_call(headers):
    with pytest.raises(RpcFailed) as caught:
        read_head(headers)
    assert caught.value.status == "INVALID_ARGUMENT"
