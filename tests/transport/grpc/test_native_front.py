"""Our own front: what is not tested through the server, which both fronts carry."""

import asyncio
import gzip
import struct
from contextlib import suppress

import grpc
import numpy as np
import pytest

from segserve.core.errors import LoadFailed
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.methods import Streaming, Unary
from segserve.transport.grpc.native_front import NativeFront


async def echo(message, _context):
    return bytes(message)


async def hang(_message, _context):
    await asyncio.sleep(60)


class Flood:
    """Streams 100 MB, and counts what it has written."""

    def __init__(self):
        self.written = 0

    async def __call__(self, _messages, context):
        for _ in range(1000):
            await context.write(bytes(100_000))
            self.written += 1


@pytest.fixture
async def served():
    flood = Flood()
    methods = {"Echo": Unary(echo), "Hang": Unary(hang), "Flood": Streaming(flood)}
    front = NativeFront({"t.S": methods}, GrpcOptions(max_request_bytes=200 << 20))
    front.port, front.flood = await front.start(), flood
    yield front
    await front.close(0.1)
    assert front._connections == set()
    assert (front._count.held, front._intake._taken_bytes) == (0, 0)


@pytest.fixture
async def calls(served):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}", options=options) as channel:
        yield channel


@pytest.mark.parametrize("size", [0, 1, 65_531, 70_000, 5_000_000, 40_000_000])
async def test_messages_of_every_length(calls, size):
    body = np.random.default_rng(0).bytes(min(size, 1 << 20)) * (size // (1 << 20) + 1)
    assert await calls.unary_unary("/t.S/Echo")(body[:size]) == body[:size]


async def test_many_calls_on_one_connection(calls):
    bodies = [bytes([n % 256]) * (n * 997 % 90_000) for n in range(300)]
    method = calls.unary_unary("/t.S/Echo")
    assert await asyncio.gather(*(method(body) for body in bodies)) == bodies


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests(calls, how):
    method = calls.unary_unary("/t.S/Echo")
    for size in (3, 300_000):
        assert await method(b"x" * size, compression=how) == b"x" * size


async def test_a_message_that_unpacks_over_the_limit(engine):
    front = NativeFront({"t.S": {"Echo": Unary(echo)}}, GrpcOptions(max_request_bytes=10_000))
    port = await front.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.S/Echo")(b"x" * 10_001, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await front.close(0.1)
    assert len(gzip.compress(b"x" * 10_001)) < 10_000


async def test_an_unknown_method(calls):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.unary_unary("/t.S/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "/t.S/Nothing" in caught.value.details()


async def test_deadlines(calls, served):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.unary_unary("/t.S/Hang")(b"", timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    for _ in range(200):
        if served._count.held == 0:
            break
        await asyncio.sleep(0.005)
    assert served._count.held == 0


async def test_a_caller_that_reads_slowly_holds_the_answer_back(served, calls):
    call = calls.stream_stream("/t.S/Flood")()
    assert len(await call.read()) == 100_000
    made = -1
    while made != served.flood.written:  # until it stands still
        made = served.flood.written
        await asyncio.sleep(0.1)
    assert made < 900
    for _ in range(999):
        assert len(await call.read()) == 100_000
    assert await call.read() is grpc.aio.EOF
    assert served.flood.written == 1000


async def test_ipv6_and_a_port_that_is_taken(served):
    six = NativeFront({}, GrpcOptions(address="::1"))
    try:
        port = await six.start()
    except LoadFailed:
        pytest.skip("this machine has no IPv6")
    assert port > 0
    await six.close(0.1)


async def test_closing_is_bounded_and_answers(served, calls):
    call = calls.unary_unary("/t.S/Hang")(b"")
    await asyncio.sleep(0.05)
    start = asyncio.get_running_loop().time()
    await served.close(0.2)
    assert asyncio.get_running_loop().time() - start < 3
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_connects_to_a_server_that_retires_is_held(served, calls):
    echo = calls.unary_unary("/t.S/Echo")
    assert await echo(b"a") == b"a"
    served.retire()
    await served.heeded(5)
    late = echo(b"b", wait_for_ready=True)
    await asyncio.sleep(0.2)
    assert not late.done()
    assert calls.get_state() is grpc.ChannelConnectivity.CONNECTING
    served.admit()
    assert await late == b"b"


async def test_who_is_held_does_not_hold_the_end_up(served):
    served.retire()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"PRI * HTTP/2.0")
    await asyncio.sleep(0.05)
    start = asyncio.get_running_loop().time()
    await served.close(5)
    assert asyncio.get_running_loop().time() - start < 0.4
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_a_call_of_one_who_is_held_is_answered_at_the_end(served):
    from segserve.transport.http2 import frames
    from segserve.transport.http2.headers import written

    served.retire()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    names = {b":method": b"POST", b":scheme": b"http", b":path": b"/t.S/Echo"}
    block = written((*names.items(), (b"content-type", b"application/grpc")))
    head = frames.head(1, frames.Flag.END_HEADERS, 1, len(block))
    body = frames.head(0, frames.Flag.END_STREAM, 1, 8) + b"\0\0\0\0\x03abc"
    writer.write(frames.PREFACE + frames.settings({}) + head + block + body)
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(served.close(5))
    async with asyncio.timeout(5):
        got = await reader.read(100_000)
        while b"abc" not in got:
            got += await reader.read(100_000)
    writer.close()
    await closing


async def test_heeding_is_waited_for_in_bounds(served):
    _reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    await asyncio.sleep(0.05)
    served.retire()
    await served.heeded(0.1)
    writer.close()


async def test_close_before_start():
    await NativeFront({}, GrpcOptions()).close(1)


async def test_a_call_that_is_answered_before_its_body_has_come(served):
    """The answer to a wrong path does not wait for a body, which is then ignored."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    from segserve.transport.http2 import frames
    from segserve.transport.http2.headers import written

    block = written(
        (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/no/Such"),
            (b"content-type", b"application/grpc"),
        )
    )
    writer.write(
        frames.PREFACE
        + frames.settings({})
        + frames.head(1, frames.Flag.END_HEADERS, 1, len(block))
    )
    writer.write(block)
    got = b""
    async with asyncio.timeout(5):
        while b"Method not found" not in got:
            got += await reader.read(1000)
    writer.write(frames.head(0, 0, 1, 10) + bytes(10))
    echoed = struct.pack(">BI", 0, 4) + b"good"
    good = block.replace(b"\x08/no/Such", b"\x09/t.S/Echo")
    writer.write(frames.head(1, frames.Flag.END_HEADERS, 3, len(good)) + good)
    writer.write(frames.head(0, frames.Flag.END_STREAM, 3, len(echoed)) + echoed)
    async with asyncio.timeout(5):
        while echoed not in got:
            got += await reader.read(1000)
    writer.close()
