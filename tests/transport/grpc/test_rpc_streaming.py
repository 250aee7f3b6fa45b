"""Streaming rpcs on one stream."""

import asyncio

from segserve.transport.grpc.methods import Streaming


async def test_streaming(rpc_case, frame):
    async def twice(messages, context):
        async for message in messages:
            await context.write(bytes(message) * 2)

    case = rpc_case(Streaming(twice))
    case.rpc.received(frame(b"a"))
    await asyncio.sleep(0.01)
    assert case.stream.sent == frame(b"aa")
    assert (case.stream.granted, len(case.stream.blocks)) == (1, 1)
    case.rpc.received(memoryview(bytes(frame(b"b")) + bytes(frame(b"c"))))
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    assert case.stream.sent == b"".join(map(frame, (b"aa", b"bb", b"cc")))
    assert not case.stream.told_to_stop
    await case.settled()


async def test_streaming_waits_for_a_slow_reader(rpc_case):
    written = []

    async def many(_messages, context):
        for n in range(3):
            await context.write(b"x")
            written.append(n)

    case = rpc_case(Streaming(many))
    case.stream.open_gate.clear()
    await asyncio.sleep(0.01)
    assert written == []
    case.stream.open_gate.set()
    assert await case.stream.status() == (0, "")
    assert (written, case.stream.told_to_stop) == ([0, 1, 2], True)


async def test_a_stream_that_ends_amid_a_message(rpc_case, frame):
    async def take(messages, _context):
        async for _ in messages:
            pass

    case = rpc_case(Streaming(take))
    case.rpc.received(frame(b"abc")[:7])
    case.rpc.request_ends()
    assert await case.stream.status() == (13, "the last message is not whole")
    await case.settled()


async def test_nothing_is_written_after_the_end(rpc_case):
    started = asyncio.Event()

    async def late(_messages, context):
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await context.write(b"late")

    case = rpc_case(Streaming(late), timeout_s=0.02)
    await started.wait()
    assert (await case.stream.status())[0] == 4
    await case.settled()
    assert case.stream.sent == b""
