"""An rpc on a stream that writes down what is sent."""

import asyncio
import struct

import hpack
import pytest

from segserve.transport.grpc.message_reader import Intake
from segserve.transport.grpc.rpc import Rpc, RpcCount, RpcHead


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

    def told(self):
        return dict(hpack.Decoder().decode(b"".join(self.blocks)))

    async def status(self):
        async with asyncio.timeout(5):
            await self.done.wait()
        told = self.told()
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


@pytest.fixture
def rpc_case():
    """Give the class of cases: an rpc of a method, its stream, intake and count."""
    return Case


@pytest.fixture
def frame():
    """Write a message with its prefix."""
    return framed
