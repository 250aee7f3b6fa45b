"""Messages that lie about their length, never end, come twice, inflate, or are many."""

import asyncio
import gzip

from hyperframe.frame import HeadersFrame, SettingsFrame, WindowUpdateFrame

from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.server import GrpcServer
from segserve.transport.http2.frames import Kind

OK = 0
INVALID_ARGUMENT = 3
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13


def test_what_is_announced_and_never_sent_does_not_keep_others_out(run, serving):
    async def scenario():
        async with serving(max_request_bytes=1 << 30, max_receiving_bytes=2 << 30) as served:
            liar, honest = await served.peer(), await served.peer()
            for stream_id in (1, 3):
                await liar.send(
                    liar.open(stream_id), liar.data(stream_id, liar.packed(says=1 << 30), end=False)
                )
            await asyncio.sleep(0.05)
            body = honest.packed(bytes(100_000))
            await honest.send(honest.open(1), honest.data(1, body[:50_000], end=False))
            await honest.send(honest.data(1, body[50_000:]))
            await honest.send(WindowUpdateFrame(0, window_increment=2**20))
            await honest.send(WindowUpdateFrame(1, window_increment=2**20))
            assert await honest.status(1) == OK

    run(scenario())


def test_a_second_message_of_a_unary_call_is_refused_before_it_fills_the_window(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(
                peer.open(1), peer.data(1, peer.packed(b"one") + peer.packed(b"two"), end=False)
            )
            piece = peer.data(1, bytes(1_000_000), end=False)
            await peer.send(
                peer.data(1, peer.packed(says=20_000_000), end=False), piece, piece, piece
            )
            assert await peer.status(1) is not None
            await served.rests()

    run(scenario())


def test_whole_messages_of_calls_that_do_not_end_are_counted(run, serving):
    async def scenario():
        async with serving(max_request_bytes=1 << 20, max_receiving_bytes=4 << 20) as served:
            peer = await served.peer()
            first, rest = peer.packed(says=1 << 20) + bytes(1 << 19), bytes(1 << 19)
            for stream_id in range(1, 40, 2):
                await peer.send(peer.open(stream_id), peer.data(stream_id, first, end=False))
                await peer.send(peer.data(stream_id, rest, end=False))
            await peer.send(peer.call(99))
            assert await peer.status(99) == OK
            assert served.front._intake._taken_bytes <= 4 << 20
            states = [peer.status_seen(stream_id) for stream_id in range(1, 40, 2)]
            assert states.count(RESOURCE_EXHAUSTED) >= 16
            assert len(set(states)) == 2  # three or four wait for the end of their requests

    run(scenario())


def test_a_second_message_of_a_unary_call_is_not_kept(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.open(1), peer.data(1, peer.packed() * 100_000, end=False))
            assert await peer.status(1) == INTERNAL
            await served.rests()

    run(scenario())


def test_tiny_messages_that_no_method_takes_are_counted_as_what_they_cost(run, serving):
    """They are five bytes each on their way, and an object each in memory."""

    async def scenario():
        async with serving(max_request_bytes=1 << 20, max_receiving_bytes=1 << 22) as served:
            peer = await served.peer({SettingsFrame.INITIAL_WINDOW_SIZE: 0})
            await peer.send(peer.open(1, "/t/Pour"))
            await peer.send(peer.data(1, peer.packed() * 40_000, end=False))
            for stream_id in (0, 1):  # the method had begun to answer
                await peer.send(WindowUpdateFrame(stream_id, window_increment=2**30))
            await peer.until(lambda _frame: peer.status_seen(1) is not None)
            assert peer.status_seen(1) == RESOURCE_EXHAUSTED
            await served.rests()

    run(scenario())


def test_a_small_message_that_inflates_a_thousandfold_does_not_hold_the_loop(run, serving):
    async def scenario():
        async with serving(max_request_bytes=1 << 28) as served:
            bomb = gzip.compress(bytes(60_000_000), 1)
            peer = await served.peer()
            await peer.send(
                peer.open(1, grpc_encoding="gzip"), peer.data(1, peer.packed(bomb, flag=1))
            )
            await asyncio.sleep(0.005)
            await peer.send(peer.raw(Kind.PING, 0, 0, bytes(8)))  # answered in the meantime
            await peer.until(lambda frame: isinstance(frame, HeadersFrame))
            assert "PingFrame" in [type(frame).__name__ for frame in peer.seen]

    run(scenario())


def test_what_follows_a_compressed_message_is_not_lost_in_silence(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            body = gzip.compress(b"one") + gzip.compress(b"two")
            await peer.send(
                peer.open(1, grpc_encoding="gzip"), peer.data(1, peer.packed(body, flag=1))
            )
            assert await peer.status(1) == INTERNAL or peer.bodies[1] == peer.packed(b"onetwo")

    run(scenario())


async def test_a_broken_message_of_a_stream_keeps_its_status(connect, engine, caplog):
    """It is the caller's fault: no crash of the server's, and no traceback in its log."""
    server = GrpcServer(engine, GrpcOptions("native", max_request_bytes=1_000_000))
    port = await server.start()
    peer = await connect(port)
    path = "/segserve.v1.Segmentation/SegmentStream"
    bomb = peer.packed(gzip.compress(bytes(2_000_000)), flag=1)
    await peer.send(
        peer.open(1, path, grpc_encoding="snappy"), peer.data(1, peer.packed(b"x", flag=1))
    )
    await peer.send(peer.open(3, path, grpc_encoding="gzip"), peer.data(3, bomb))
    told = [await peer.status(1), await peer.status(3)]
    peer.cut()
    await server.stop(0.01)
    assert told == [UNIMPLEMENTED, RESOURCE_EXHAUSTED]
    assert "call_crashed" not in caplog.text


TIMEOUTS = ("99999999H", "99999999S", "1H", "", "x", "-1S", "1", "123456789S", "1 S", "1s")


def test_odd_timeouts(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            for number, timeout in enumerate(TIMEOUTS):
                await peer.send(peer.call(1 + 2 * number, grpc_timeout=timeout))
            told = [await peer.status(1 + 2 * number) for number in range(len(TIMEOUTS))]
            assert told == [OK] * 3 + [INVALID_ARGUMENT] * 7
            await served.rests()

    run(scenario())
