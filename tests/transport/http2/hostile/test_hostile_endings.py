"""Calls and connections that end at the wrong moment."""

import asyncio
import time

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport.grpc.methods import Streaming
from segserve.transport.grpc.servicer import SERVICE
from segserve.transport.http2.frames import Kind

OK = 0
DEADLINE_EXCEEDED = 4


RESET = {"unary": "/t/Hang", "streaming": "/t/Stream"}


@pytest.mark.parametrize("path", RESET.values(), ids=RESET)
def test_a_call_that_is_reset_in_the_write_that_brought_it_is_counted_out(run, serving, path):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.call(1, path), RstStreamFrame(1, error_code=8))
            await peer.send(peer.call(3))
            assert await peer.status(3) == OK
            await served.rests()

    run(scenario())


def test_a_call_without_time_is_counted_out(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            for number, timeout in enumerate(("0S", "0n", "1n", "1u")):
                await peer.send(peer.call(1 + 2 * number, "/t/Hang", grpc_timeout=timeout))
                assert await peer.status(1 + 2 * number) == DEADLINE_EXCEEDED
            await served.rests()

    run(scenario())


def test_a_call_that_crosses_the_goaway_does_not_cost_the_others_their_answers(run, serving):
    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.open(1), peer.data(1, peer.packed(b"slow")[:3], end=False))
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(served.front.close(5))
            await peer.until(lambda frame: isinstance(frame, GoAwayFrame))
            await peer.send(peer.call(3), RstStreamFrame(3), peer.data(1, peer.packed(b"slow")[3:]))
            assert await peer.status(1) == OK
            peer.cut()
            await closing

    run(scenario())


def test_nothing_is_written_on_a_call_that_has_ended(run, serving):
    async def scenario():
        async with serving() as served:
            answered = asyncio.Event()

            async def late(messages, context):
                async def write():
                    await answered.wait()
                    await context.write(b"late")

                async with asyncio.TaskGroup() as group:
                    group.create_task(write())

            served.front._methods[b"/t/Late"] = Streaming(late)
            peer = await served.peer()
            await peer.send(peer.open(1, "/t/Late", end=True))
            await asyncio.sleep(0.05)
            (stream,) = served.connection._session._streams.values()
            answered.set()
            stream.exchange._expired()  # in the turn in which a part of the answer is ready
            await peer.send(peer.call(3))
            assert await peer.status(3) == OK
            last = [frame for frame in peer.seen if frame.stream_id == 1][-1]
            assert "END_STREAM" in last.flags
            assert peer.status_seen(1) == DEADLINE_EXCEEDED

    run(scenario())


def test_stopping_leaves_no_connection_to_a_peer_that_reads_nothing(run, serving):
    async def scenario():
        async with serving() as served:
            await served.full_peer()
            await served.front.close(0.1)
            await asyncio.sleep(0.05)
            assert not served.front._connections

    run(scenario())


def test_a_silent_peer_is_pinged_and_cut(run, serving):
    async def scenario():
        async with serving(keepalive_time_ms=50, keepalive_timeout_ms=50) as served:
            silent, awake = await served.peer(), await served.peer()
            await silent.send(silent.call(1, "/t/Hang"))
            begin_s = time.monotonic()
            gone = asyncio.create_task(silent.ended())
            while time.monotonic() - begin_s < 0.25:
                ping = await awake.until(lambda frame: type(frame).__name__ == "PingFrame")
                await awake.send(awake.raw(Kind.PING, 1, 0, ping.opaque_data))
            await gone
            await awake.send(awake.call(1))
            assert await awake.status(1) == OK
            assert len(served.front._connections) == 1
            await served.rests()

    run(scenario())


def test_an_old_connection_is_asked_to_go_then_cut(run, serving):
    async def scenario():
        ages = {"max_connection_age_ms": 100, "max_connection_age_grace_ms": 200}
        async with serving(**ages) as served:
            peer = await served.peer()
            await peer.send(peer.call(1, "/t/Hang"))
            assert await peer.until(lambda frame: isinstance(frame, GoAwayFrame))
            await peer.send(peer.call(3))
            assert await peer.status(3) == OK
            await peer.ended()
            await served.rests()

    run(scenario())


def test_a_connection_that_is_lost_is_freed_at_once(run, serving):
    """What a dead peer did not take must not wait for the garbage collector."""

    async def scenario():
        async with serving() as served:
            peer = await served.peer()
            await peer.send(peer.call(1, "/t/Big"))
            await asyncio.sleep(0.05)
            sender = served.connection._session.sender
            peer.cut()
            await asyncio.sleep(0.05)
            assert not served.front._connections
            assert not sender._blocked
            assert not sender._streams

    run(scenario())


async def test_a_peer_that_closes_its_side_wants_no_answer(connect, grpc_server, engine):
    """A process that dies does so too; nothing tells it from one that still reads."""
    request = pb.ModelInferRequest(model_name="hang")
    request.inputs.add(name="x", datatype="UINT8", shape=[1])
    request.raw_input_contents.append(b"x")
    peer = await connect(grpc_server.port)
    await peer.send(peer.call(1, f"/{SERVICE}/ModelInfer", request.SerializeToString()))
    await engine.wait_requests()
    assert not engine.cancelled.is_set()
    peer.end_sending()
    async with asyncio.timeout(5):
        await engine.cancelled.wait()
    peer.cut()
