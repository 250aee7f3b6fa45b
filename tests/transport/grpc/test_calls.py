"""What every call has in common."""

import asyncio

import pytest

from segserve.core.errors import Overloaded, ShuttingDown
from segserve.core.messages import NO_TRACE
from segserve.transport.grpc.calls import Calls, call_of
from segserve.transport.grpc.methods import RpcFailed


class FakeContext:
    def __init__(self, remaining_s=None):
        self.remaining_s = remaining_s

    def time_remaining(self):
        return self.remaining_s

    def invocation_metadata(self):
        return None


def test_call_of():
    assert call_of(FakeContext()).deadline.remaining_s() == float("inf")
    assert 4 < call_of(FakeContext(5.0)).deadline.remaining_s() <= 5
    assert call_of(FakeContext()).trace is NO_TRACE


async def test_counting():
    calls, release = Calls("unavailable"), asyncio.Event()

    async def answer(_message, _context):
        await release.wait()
        return b"x"

    running = asyncio.create_task(calls.unary("s/M", answer).answer(b"", FakeContext()))
    await asyncio.sleep(0)
    assert calls.running == 1
    assert not await calls.wait_idle(0.01)
    release.set()
    assert await calls.wait_idle(5)
    assert (await running, calls.running) == (b"x", 0)


async def test_calls_that_are_not_counted():
    calls = Calls("unavailable")

    async def answer(_messages, _context):
        assert calls.running == 0

    await calls.stream("s/M", answer, counted=False).answer(None, FakeContext())


@pytest.mark.parametrize("overload", ["unavailable", "resource_exhausted"])
async def test_failures(overload, caplog):
    calls = Calls(overload)

    async def refuse(_message, _context):
        raise Overloaded("full", retry_after_s=0.0001)

    with pytest.raises(RpcFailed, match="full") as caught:
        await calls.unary("s/M", refuse).answer(b"", FakeContext())
    assert caught.value.status == overload.upper()
    assert dict(caught.value.trailers)["grpc-retry-pushback-ms"] == "1"
    assert calls.running == 0
    assert [record.method for record in caplog.records] == ["s/M"]
    assert caught.value.told


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_crashes_are_logged_and_answered(kind, caplog):
    calls = Calls("unavailable")

    async def crash(_message, _context):
        raise ZeroDivisionError("oh")

    with pytest.raises(RpcFailed) as caught:
        await getattr(calls, kind)("s/M", crash).answer(b"", FakeContext())
    assert caught.value.status == "INTERNAL"
    assert [record.message for record in caplog.records] == ["call_crashed"]


def test_refusing():
    calls = Calls("unavailable")
    calls.check_open()
    calls.refuse()
    with pytest.raises(ShuttingDown, match="Server is stopping") as caught:
        calls.check_open()
    assert caught.value.retry_after_s == 1


def test_what_waits_for_work_is_ended_by_the_stop():
    calls, ended = Calls("unavailable"), []
    with calls.ended_by_stop(lambda: ended.append("gone")):
        pass
    with calls.ended_by_stop(lambda: ended.append("waits")):
        calls.refuse()
    with calls.ended_by_stop(lambda: ended.append("late")):
        pass
    assert ended == ["waits", "late"]
