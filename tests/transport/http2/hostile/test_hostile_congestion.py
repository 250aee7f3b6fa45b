"""Sockets that take little: what is held back must leave, be bounded, and be counted."""

import asyncio
import contextlib
import time

import pytest
from hyperframe.frame import RstStreamFrame

from segserve.transport.http2 import connection
from segserve.transport.http2.frames import Kind
from segserve.transport.http2.waiters import Waiters

OK, INTERNAL = 0, 13


def test_failures_that_nobody_reads_count_as_calls(run, serving):
    async def scenario():
        async with serving(max_concurrent_rpcs=100) as served:
            peer = await served.full_peer()
            transport = served.connection._transport
            before = transport.get_write_buffer_size()
            assert before > 1_000_000
            await peer.send(peer.open(3, end=True))
            block = peer.open(5, end=True).data  # a row of references by now
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.2):
                    for first in range(5, 20_005, 2000):
                        ids = range(first, first + 2000, 2)
                        await peer.send(*(peer.raw(Kind.HEADERS, 5, i, block) for i in ids))
            assert transport.get_write_buffer_size() - before < 500_000

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
    assert len(waiters) == 2000
    waiters.wake()
    assert len(waiters) == 0  # nobody is left for the next to look at, though none has run yet
    waiters.wake()
    await asyncio.gather(*tasks)


LAST_ACTS = {"a broken rule": lambda peer: peer.raw(Kind.DATA, 0, 0), "an end": None}


@pytest.mark.parametrize("act", LAST_ACTS.values(), ids=LAST_ACTS)
def test_a_peer_that_ends_and_reads_nothing_is_let_go(run, serving, monkeypatch, act):
    """What it held is given back at once, though what it was sent cannot leave; then its socket."""
    monkeypatch.setattr(connection, "_LINGER_S", 0.1)

    async def scenario():
        async with serving() as served:
            peer = await served.full_peer()
            await peer.send(peer.call(3, "/t/Hang"))
            await asyncio.sleep(0.02)
            if act is None:
                peer.end_sending()
            else:
                await peer.send(act(peer))
            await served.rests()
            assert served.methods.cancelled == 1
            assert len(served.front._connections) == 1  # it has a while to read
            await asyncio.sleep(0.15)
            assert not served.front._connections

    run(scenario())


def test_what_was_written_before_a_peer_ends_still_reaches_it(run, serving):
    async def scenario():
        async with serving() as served:
            served.methods.big_bytes = 3_000_000
            peer = await served.wide_peer()
            await peer.send(peer.call(1, "/t/Big"))
            await peer.until(lambda frame: frame.stream_id == 1)
            peer.end_sending()
            assert await peer.status(1) == OK
            assert len(peer.bodies[1]) == 3_000_005

    run(scenario())


def test_ends_that_were_held_back_leave_once_the_peer_reads(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.full_peer(10_000_000)
            for stream_id in (3, 5, 7):
                await peer.send(peer.open(stream_id, end=True))  # without its message
            await peer.send(peer.call(9), peer.open(11, "/t/Stream"))
            await asyncio.sleep(0.02)
            assert served.front._count.held >= 4
            await peer.send(RstStreamFrame(5, error_code=8), peer.data(11, peer.packed(b"x")))
            peer._writer.transport.resume_reading()
            told = [await peer.status(stream_id) for stream_id in (1, 3, 7, 9, 11)]
            assert told == [OK, INTERNAL, INTERNAL, OK, OK]
            assert 5 not in peer.headers
            await served.rests()

    run(scenario())


async def test_what_a_stopping_server_says_is_not_held_back(pair):
    pair.request(end=False)
    pair.exchange()
    pair.session.flow(congested=True)
    pair.session.end()
    assert b"grpc-status" in pair.sent
