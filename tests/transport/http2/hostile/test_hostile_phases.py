"""Every way to end a call, in every phase of it: all is given back."""

import asyncio
import time

import pytest
from hyperframe.frame import RstStreamFrame, WindowUpdateFrame

from segserve.transport.http2.frames import Kind

OK = 0
DEADLINE_EXCEEDED = 4
UNAVAILABLE = 14


def begun(*pieces):
    """Give what opens a call and sends pieces of its body, which goes on."""
    return lambda peer, path: [peer.open(1, path), *(peer.data(1, p, end=False) for p in pieces)]


def whole(peer, path):
    return [peer.call(1, path)]


PART_OF_PREFIX = b"\0\0"
MESSAGE = b"\0\0\0\0\1x"
PART_OF_MESSAGE = b"\0\0\7\xa1\x20part"  # of 500,000 bytes
FRAME_BYTES, PIECE_BYTES = 400_014, 100_000


def torn(peer, path):
    frame = peer.data(1, peer.packed(bytes(400_000)))
    assert len(frame) == FRAME_BYTES
    return [peer.open(1, path), frame[:PIECE_BYTES]]


PHASES = {
    "headers alone": ("/t/Hang", begun()),
    "a part of a prefix": ("/t/Hang", begun(PART_OF_PREFIX)),
    "a part of a message": ("/t/Hang", begun(PART_OF_MESSAGE)),
    "a part of a frame": ("/t/Hang", torn),
    "whole but open": ("/t/Hang", begun(MESSAGE)),
    "running": ("/t/Hang", whole),
    "streaming": ("/t/Stream", begun(MESSAGE)),
    "streaming, a part": ("/t/Stream", begun(PART_OF_MESSAGE)),
    "answer waits": ("/t/Big", whole),
    "streamed answer waits": ("/t/Pour", whole),
    "streamed answer waits, open": ("/t/Pour", begun(MESSAGE)),
}


async def enter(phase, peer):
    path, pieces = PHASES[phase]
    await peer.send(*pieces(peer, path))


async def reset(served, peer):
    await peer.send(RstStreamFrame(1, error_code=8))


async def vanish(served, peer):
    peer.cut()


async def close_side(served, peer):
    peer.end_sending()


async def break_rule(served, peer):
    await peer.send(peer.raw(Kind.PING, 0, 0, b"short"))


async def overflow(served, peer):
    await peer.send(2 * peer.raw(Kind.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"))


ENDS = (reset, vanish, close_side, break_rule, overflow)


async def together(serving, served_phase):
    """Run a scenario for every phase of a call, each with a server of its own."""
    failed = {}

    async def one(phase):
        try:
            async with serving() as served:
                await served_phase(served, await served.peer(), phase)
        except (AssertionError, TimeoutError) as error:
            failed[phase] = repr(error)

    await asyncio.gather(*map(one, PHASES))
    assert not failed


@pytest.mark.parametrize("ends", ENDS, ids=[end.__name__ for end in ENDS])
def test_a_call_that_ends_by_its_peer_gives_all_back(run, serving, ends):
    async def scenario(served, peer, phase):
        await enter(phase, peer)
        await asyncio.sleep(0.02)
        if phase == "a part of a frame" and ends in (reset, break_rule, overflow):
            await peer.send(bytes(FRAME_BYTES - PIECE_BYTES))
        await ends(served, peer)
        await served.rests()

    run(together(serving, scenario))


def test_a_deadline_answers_in_every_phase(run, serving):
    async def scenario(served, peer, phase):
        real = peer.open
        peer.open = lambda *args, **more: real(*args, grpc_timeout="100m", **more)
        await enter(phase, peer)
        if phase == "a part of a frame":
            await asyncio.sleep(0.15)
            await peer.send(bytes(FRAME_BYTES - PIECE_BYTES))
        await peer.send(WindowUpdateFrame(0, window_increment=2**30))
        if "waits" in phase:
            await asyncio.sleep(0.15)
            await peer.send(WindowUpdateFrame(1, window_increment=2**30))
        over = phase == "answer waits"  # for the server, when the deadline passes
        assert await peer.status(1) == (OK if over else DEADLINE_EXCEEDED)
        await served.rests()

    run(together(serving, scenario))


def test_stopping_is_bounded_and_answers_in_every_phase(run, serving):
    async def scenario(served, peer, phase):
        await enter(phase, peer)
        await asyncio.sleep(0.02)
        begin_s = time.monotonic()
        closing = asyncio.create_task(served.front.close(0.1))
        if phase == "a part of a frame":
            await asyncio.sleep(0.02)
            await peer.send(bytes(FRAME_BYTES - PIECE_BYTES))
        if "waits" not in phase:
            assert await peer.status(1) == UNAVAILABLE
        await closing
        assert time.monotonic() - begin_s < 2
        await peer.ended()
        await served.rests()
        assert not served.front._connections

    run(together(serving, scenario))
