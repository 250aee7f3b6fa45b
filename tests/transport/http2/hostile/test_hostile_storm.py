"""A peer that reads by fits and starts, windows that come and go, and sockets that take little.

What is held back must leave in the end: every call gets its answer, whole.
"""

import asyncio
import random

import pytest
from hyperframe.frame import RstStreamFrame, SettingsFrame, WindowUpdateFrame

OK = 0
STREAM_WINDOW_BYTES = 4 << 20
ANSWER_BYTES = {"/t/Echo": 0, "/t/Big": 300_000, "/t/Stream": 0, "/t/Pour": 300_000}  # 0: an echo
PACE_S = 0.01


class Storm:
    """A peer's calls, their requests and the answers that are due."""

    def __init__(self, peer, seed):
        self.peer, self.chance = peer, random.Random(seed)
        self.due, self.dropped = {}, set()

    def first_window(self):
        return self.chance.choice([0, 1, 10_000, 65_535, 2**31 - 1])

    async def read(self):
        """Read for ever, with pauses."""
        transport = self.peer._writer.transport
        while await self.peer.next() is not None:
            if self.chance.random() < 0.02:
                transport.pause_reading()
                await asyncio.sleep(self.chance.random() * PACE_S)
                transport.resume_reading()

    def request(self, stream_id, path):
        """Make up a request's body, and note the answer's."""
        message = bytes([stream_id]) * self.chance.choice([0, 10, 1000, 100_000, 3_000_000])
        count = self.chance.choice([0, 1, 2, 3]) if path in ("/t/Stream", "/t/Pour") else 1
        body = self.peer.packed(message) * count
        answer = self.peer.packed(bytes(ANSWER_BYTES[path])) * count
        self.due[stream_id] = answer if ANSWER_BYTES[path] else body
        return body

    def room(self, stream_id):
        """Give how much the server has ever allowed on a stream."""
        return STREAM_WINDOW_BYTES + sum(
            frame.window_increment
            for frame in self.peer.seen
            if isinstance(frame, WindowUpdateFrame) and frame.stream_id == stream_id
        )

    async def call(self, stream_id):
        """Make a call in pieces of any size."""
        peer, path = self.peer, self.chance.choice(list(ANSWER_BYTES))
        body = self.request(stream_id, path)
        await peer.send(peer.open(stream_id, path))
        start = 0
        while start < len(body):
            piece = body[start : start + self.chance.choice([5, 1000, 300_000, 1_000_000])]
            start += len(piece)
            while self.room(stream_id) < start:
                await asyncio.sleep(PACE_S / 10)
                await self.widen((0, stream_id), 100_000)
            await peer.send(peer.data(stream_id, piece, end=False))
        await peer.send(peer.data(stream_id, b""))

    async def trouble(self, stream_id):
        """Drop the call, or change all windows, or neither."""
        if self.chance.random() < 0.1:
            self.dropped.add(stream_id)
            await self.peer.send(RstStreamFrame(stream_id, error_code=8))
        if self.chance.random() < 0.3:
            window_bytes = self.chance.choice([0, 1, 65_535])
            await self.peer.send(SettingsFrame(0, settings={4: window_bytes}))

    async def widen(self, stream_ids, size_bytes):
        for stream_id in stream_ids:
            await self.peer.send(WindowUpdateFrame(stream_id, window_increment=size_bytes))

    async def answered(self):
        """Wait until every call that was not dropped has its status."""
        async with asyncio.timeout(20):
            while any(self.peer.status_seen(i) is None for i in self.due.keys() - self.dropped):  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(PACE_S)


@pytest.mark.parametrize("seed", range(1))
def test_everything_leaves_in_the_end(run, serving, seed):
    async def scenario():
        async with serving() as served:
            served.methods.big_bytes = ANSWER_BYTES["/t/Big"]
            storm = Storm(None, seed)
            peer = storm.peer = await served.peer({4: storm.first_window()})
            connection = served.connection
            limit_bytes = storm.chance.choice([1, 1000, 50_000])
            connection._transport.set_write_buffer_limits(high=limit_bytes)
            reading = asyncio.create_task(storm.read())
            for stream_id in range(1, 60, 2):
                await storm.call(stream_id)
                await storm.trouble(stream_id)
            for _ in range(4):
                await storm.widen((0, *storm.due), 2**26)
            await storm.answered()
            for stream_id in storm.due.keys() - storm.dropped:
                assert peer.status_seen(stream_id) == OK
                assert peer.bodies.get(stream_id, b"") == storm.due[stream_id]
            await served.rests()
            assert len(connection._session._waiters) == 0
            reading.cancel()

    run(scenario())
