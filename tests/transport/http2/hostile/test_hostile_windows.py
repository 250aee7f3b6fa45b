"""Windows that are closed, tiny or below zero, and peers that do not read."""

import asyncio
import contextlib

import pytest
from hyperframe.frame import (
    DataFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from segserve.transport.http2.frames import Kind
from segserve.transport.http2.sender import Sender

OK = 0
DEADLINE_EXCEEDED = 4


@pytest.mark.parametrize("ended", [True, False])
def test_a_deadline_passes_while_an_answer_waits_for_a_window(run, serving, ended):
    """The status must still come, once, and nothing after a RST_STREAM."""

    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            request = peer.data(1, peer.packed(b"x"), end=ended)
            await peer.send(peer.open(1, "/t/Pour", grpc_timeout="60m"), request)
            await asyncio.sleep(0.12)
            await peer.send(
                WindowUpdateFrame(0, window_increment=2**30),
                WindowUpdateFrame(1, window_increment=2**30),
                peer.call(3),
            )
            assert await peer.status(3) == OK
            assert peer.status_seen(1) == DEADLINE_EXCEEDED
            kinds = [type(frame) for frame in peer.seen if frame.stream_id == 1]
            if RstStreamFrame in kinds:
                assert kinds.index(RstStreamFrame) == len(kinds) - 1
            await served.rests()

    run(scenario())


@pytest.mark.parametrize("table", [0, 1, 65_535])
def test_windows_of_one_byte_and_below_zero(run, serving, table):
    async def scenario():
        async with serving() as served:
            peer = await served.peer({SettingsFrame.INITIAL_WINDOW_SIZE: table})
            await peer.send(peer.call(1, "/t/Echo", b"0123456789"))
            first = (DataFrame, HeadersFrame) if table else SettingsFrame
            await peer.until(lambda frame: isinstance(frame, first))
            if table == 65_535:
                await peer.send(peer.call(3, "/t/Big"))
                await peer.until(lambda frame: len(peer.bodies.get(3, b"")) > 60_000)
                for size in (0, 1, 2**31 - 1 - 2**20, 100):
                    await peer.send(SettingsFrame(0, settings={4: size}))
                before = len(peer.bodies[3])
                await peer.send(
                    WindowUpdateFrame(0, window_increment=2**20),
                    peer.raw(Kind.PING, 0, 0, bytes(8)),
                )
                await peer.until(lambda frame: type(frame).__name__ == "PingFrame")
                assert before <= len(peer.bodies[3]) <= 1_000_005
                return
            for _ in range(15):
                await peer.send(WindowUpdateFrame(1, window_increment=1))
            assert await peer.status(1) == OK
            assert peer.bodies[1] == peer.packed(b"0123456789")
            await served.rests()

    run(scenario())


def test_the_more_answers_wait_for_a_window_the_less_each_window_costs_them(own_cpu_s):
    """Thousands of answered calls behind a closed window must not be walked for each event."""
    sender = Sender(lambda _buffers: None)
    sender.settings({SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    count = 4000
    begin_s = own_cpu_s()
    for number in range(count):
        stream = sender.open(1 + 2 * number)
        sender.body(stream, b"answer")
        sender.end(stream, b"")
    for _ in range(count):
        sender.window_update(1, 1)
    assert own_cpu_s() - begin_s < 0.5


@pytest.mark.parametrize("answered", [True, False])
def test_settings_cost_the_same_however_many_streams_are_open(answered, own_cpu_s):
    def cost_s(streams):
        sender = Sender(lambda _buffers: None)
        sender.settings({SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        for number in range(streams):
            stream = sender.open(1 + 2 * number)
            if answered:
                sender.body(stream, b"answer")
        begin_s = own_cpu_s()
        for number in range(4000):
            sender.settings({SettingsFrame.INITIAL_WINDOW_SIZE: number % 2})
        sender.flush()
        return own_cpu_s() - begin_s

    assert cost_s(4000) < 0.2


async def test_a_window_that_opens_bit_by_bit_does_not_wake_all_who_wait(pair, own_cpu_s):
    for _ in range(400):
        pair.request(end=False)
    pair.exchange()
    body, streams = bytes(70_000), [echo.stream for echo in pair.accepted]
    for stream in streams:
        stream.body(body)
    waiting = [asyncio.create_task(stream.drained()) for stream in streams]
    more = WindowUpdateFrame(0, window_increment=1).serialize()
    await asyncio.sleep(0.01)
    begin_s = own_cpu_s()
    for _ in range(300):
        pair.feed(more)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert own_cpu_s() - begin_s < 0.15
    pair.session.lose()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


def test_a_peer_that_never_reads_a_long_answer_hinders_nobody(run, serving):
    async def scenario():
        async with serving() as served:
            await served.full_peer()
            other = await served.peer()
            for number in range(50):
                await other.send(other.call(1 + 2 * number))
                assert await other.status(1 + 2 * number) == OK

    run(scenario())


def test_answers_that_nobody_takes_count_as_calls(run, serving):
    """Else a peer that opens no window piles up answers, whatever --max-concurrent-rpcs says."""

    async def scenario():
        async with serving(max_concurrent_rpcs=10) as served:
            peer = await served.peer({SettingsFrame.INITIAL_WINDOW_SIZE: 0})
            for stream_id in range(1, 100, 2):
                await peer.send(peer.call(stream_id, "/t/Big"))
                await asyncio.sleep(0.002)
            waiting = [
                out.pending_bytes
                for connection in served.front._connections
                for out in connection._session.sender._streams.values()
            ]
            assert sum(waiting) <= 10 * 1_000_005

    run(scenario())


def test_answers_that_nobody_reads_count_as_calls(run, serving):
    async def scenario():
        async with serving(max_concurrent_rpcs=10) as served:
            peer = await served.wide_peer()
            peer.stop_reading()
            for stream_id in range(1, 100, 2):
                await peer.send(peer.call(stream_id, "/t/Big"))
                await asyncio.sleep(0.002)
            assert served.connection._transport.get_write_buffer_size() <= 20 * 1_000_005

    run(scenario())


def test_calls_that_are_reset_while_they_wait_for_a_window_leave_nothing(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer({SettingsFrame.INITIAL_WINDOW_SIZE: 0})
            for number in range(50):
                await peer.send(peer.call(1 + 2 * number, "/t/Stream"))
                await asyncio.sleep(0.002)
                await peer.send(RstStreamFrame(1 + 2 * number, error_code=8))
            await served.rests()

    run(scenario())


def test_a_peer_that_asks_and_asks_and_reads_nothing_is_held_back(run, serving):
    """Answers that no window bounds (here: refusals) must not pile up."""

    async def scenario():
        async with serving() as served:
            peer = await served.full_peer()
            connection = served.connection
            before = connection._transport.get_write_buffer_size()
            assert before > 1_000_000
            path = "/none/" + "x" * 300
            await peer.send(peer.open(3, path, end=True))
            block = peer.open(5, path, end=True).data  # a row of references by now
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(1):
                    for first in range(5, 10_005, 2000):
                        ids = range(first, first + 2000, 2)
                        await peer.send(
                            *(peer.raw(Kind.HEADERS, 5, stream_id, block) for stream_id in ids)
                        )
            assert connection._transport.get_write_buffer_size() - before < 600_000
            assert len(connection._session.sender._closing) < 2000

    run(scenario())
