"""What every call has in common."""

import asyncio

import grpc
import pytest

from segserve.core.errors import Overloaded, ShuttingDown
from segserve.transport.grpc.calls import Calls, call_of


class Aborted(Exception):
    pass


class FakeContext:
    def __init__(self, remaining_s=None):
        self.remaining_s, self.aborted = remaining_s, None

    def time_remaining(self):
        return self.remaining_s

    def invocation_metadata(self):
        return None

    async def abort(self, code, details, trailers):
        self.aborted = (code, details, dict(trailers))
        raise Aborted


def test_call_of():
    assert call_of(FakeContext()).deadline.remaining_s() == float("inf")
    assert 4 < call_of(FakeContext(5.0)).deadline.remaining_s() <= 5
    assert call_of(FakeContext()).trace_parent == ""


async def test_counting():
    calls, release = Calls("unavailable"), asyncio.Event()

    async def answer(_message, _context):
        await release.wait()
        return b"x"

    running = asyncio.create_task(calls.unary(answer).unary_unary(b"", FakeContext()))
    await asyncio.sleep(0)
    assert calls.running == 1
    assert not await calls.wait_idle(0.01)
    release.set()
    assert await calls.wait_idle(5)
    assert (await running, calls.running) == (b"x", 0)


@pytest.mark.parametrize("overload", ["unavailable", "resource_exhausted"])
async def test_failures(overload, caplog):
    calls, context = Calls(overload), FakeContext()

    async def refuse(_message, _context):
        raise Overloaded("full", retry_after_s=0.0001)

    with pytest.raises(Aborted):
        await calls.unary(refuse).unary_unary(b"", context)
    code, details, trailers = context.aborted
    assert (code, details) == (grpc.StatusCode[overload.upper()], "full")
    assert trailers["grpc-retry-pushback-ms"] == "1"
    assert calls.running == 0
    assert not caplog.records


async def test_crashes_are_logged_and_answered(caplog):
    calls, context = Calls("unavailable"), FakeContext()

    async def crash(_message, _context):
        raise ZeroDivisionError("oh")

    with pytest.raises(Aborted):
        await calls.unary(crash).unary_unary(b"", context)
    assert context.aborted[0] is grpc.StatusCode.INTERNAL
    assert [record.message for record in caplog.records] == ["call_crashed"]


def test_refusing():
    calls = Calls("unavailable")
    calls.check_open()
    calls.refusing = True
    with pytest.raises(ShuttingDown, match="Server is stopping") as caught:
        calls.check_open()
    assert caught.value.retry_after_s == 1
