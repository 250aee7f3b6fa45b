"""Sockets that take little: what is held back must leave, be bounded, and be counted."""

import asyncio
import contextlib
import time

from hyperframe.frame import RstStreamFrame, SettingsFrame

from segserve.transport.http2.frames import Kind
from segserve.transport.http2.waiters import Waiters

WIDE = {SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}


def test_failures_that_nobody_reads_count_as_calls(run, serving):
    async def scenario():
        async with serving(max_concurrent_rpcs=100) as served:
            served.methods.big_bytes = 30_000_000
            peer = await served.peer(WIDE, window=2**30)
            peer.stop_reading()
            await peer.send(peer.call(1, "/t/Big"))
            await asyncio.sleep(0.1)
            (connection,) = served.front._connections
            before = connection._transport.get_write_buffer_size()
            assert before > 1_000_000
            await peer.send(peer.open(3, end=True))
            block = peer.open(5, end=True).data  # a row of references by now
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.5):
                    for first in range(5, 40_005, 2000):
                        ids = range(first, first + 2000, 2)
                        await peer.send(*(peer.raw(Kind.HEADERS, 5, i, block) for i in ids))
            assert connection._transport.get_write_buffer_size() - before < 500_000

    run(scenario())


def test_http1_to_a_server_that_stops_is_no_crash(run, serving):
    async def scenario():
        crashes = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: crashes.append(told))
        async with serving() as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            await asyncio.sleep(0.02)
            closing = asyncio.create_task(served.front.close(0.2))
            await asyncio.sleep(0.02)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(-1), 2)
            writer.close()
            await closing
        assert not crashes

    run(scenario())


def test_a_leaving_connection_ends_once_its_last_answer_is_refused(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.call(1, "/t/Big"))
            await peer.until(lambda frame: len(peer.bodies.get(1, b"")) > 60_000)
            closing = asyncio.create_task(served.front.close(5))
            await asyncio.sleep(0.02)
            begin_s = time.monotonic()
            await peer.send(RstStreamFrame(1, error_code=8))
            await peer.ended()
            assert time.monotonic() - begin_s < 0.3
            peer.cut()
            await closing

    run(scenario())


async def test_waking_again_and_again_costs_once():
    waiters = Waiters()
    tasks = [asyncio.create_task(waiters.wait()) for _ in range(2000)]
    await asyncio.sleep(0)
    begin_s = time.process_time()
    for _ in range(5000):
        waiters.wake()
    assert time.process_time() - begin_s < 0.2
    await asyncio.gather(*tasks)
    assert len(waiters) == 0
