"""One rpc on one stream: its headers, messages, deadline and answer."""

import asyncio

import pytest

from segserve.transport.grpc.methods import RpcFailed, Unary
from segserve.transport.grpc.rpc import RpcCount


async def doubled(message, context):
    assert context.invocation_metadata() == (("a", "b"),)
    return bytes(message) * 2


def hanging():
    """Give a method that never answers, and where its end is told."""
    ended = asyncio.Event()

    async def hang(_message, _context):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    return hang, ended


async def test_unary(rpc_case, frame):
    case = rpc_case(Unary(doubled))
    case.rpc.received(frame(b"abc"))
    assert not case.rpc.hungry
    case.rpc.request_ends()
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    assert case.stream.sent == frame(b"abcabc")
    assert case.rpc.time_remaining() is None
    await case.settled()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], "expected one whole message, got none"),
        ([(b"a", None), (b"b", None)], "expected one message, got more"),
        ([(b"a", None), (b"b", 2)], "expected one message, got more"),
        ([(b"abc", 6)], "expected one whole message, got none"),
        ([(b"abc", 2)], "expected one whole message, got none"),
    ],
)
async def test_unary_without_its_message(pieces, text, rpc_case, frame):
    case = rpc_case(Unary(doubled))
    for message, length in pieces:
        case.rpc.received(frame(message)[:length])
    case.rpc.request_ends()
    assert await case.stream.status() == (13, text)
    await case.settled()


async def test_a_message_that_is_too_long(rpc_case, frame):
    case = rpc_case(Unary(doubled))
    case.rpc.received(frame(bytes(1001))[:7])
    code, text = await case.stream.status()
    assert (code, case.stream.told_to_stop) == (8, True)
    assert case.stream.told()["segserve-error-kind"] == "too_large"
    assert "--max-request-bytes" in text
    await case.settled()


async def test_failures(rpc_case, frame):
    async def fail(_message, _context):
        raise RpcFailed("NOT_FOUND", "none", (("x", "y"),))

    case = rpc_case(Unary(fail))
    case.rpc.received(frame(b""))
    case.rpc.request_ends()
    assert await case.stream.status() == (5, "none")
    await case.settled()


@pytest.mark.parametrize("phase", ["request", "method"])
async def test_deadline(phase, rpc_case, frame):
    hang, ended = hanging()
    case = rpc_case(Unary(hang), timeout_s=0.03)
    case.rpc.received(frame(b"abc")[:6] if phase == "request" else frame(b"abc"))
    if phase == "method":
        case.rpc.request_ends()
    assert 0 < case.rpc.time_remaining() <= 0.03
    assert (await case.stream.status())[0] == 4
    await case.settled()
    assert ended.is_set() is (phase == "method")
    assert case.rpc.time_remaining() == 0


@pytest.mark.parametrize("phase", ["request", "method", "answered"])
async def test_lost(phase, rpc_case, frame):
    hang, ended = hanging()
    case = rpc_case(Unary(hang if phase == "method" else doubled))
    case.rpc.received(frame(b"abc")[:6] if phase == "request" else frame(b"abc"))
    if phase != "request":
        case.rpc.request_ends()
        await asyncio.sleep(0.01)
    if not case.stream.out.ended:
        case.stream.out.end()  # as the session does
    case.rpc.lost()
    await case.settled()
    assert case.stream.ended is (phase == "answered")
    assert ended.is_set() is (phase == "method")


async def test_a_server_that_ends(rpc_case, frame):
    hang, ended = hanging()
    case = rpc_case(Unary(hang))
    case.rpc.received(frame(b"abc"))
    case.rpc.request_ends()
    await asyncio.sleep(0.01)
    case.rpc.server_ends()
    assert (await case.stream.status())[0] == 14
    assert case.stream.told()["grpc-retry-pushback-ms"] == "1000"
    await case.settled()
    assert ended.is_set()


async def test_a_method_that_is_cancelled_from_within_is_answered(rpc_case, frame):
    async def cancel(_message, _context):
        raise asyncio.CancelledError

    case = rpc_case(Unary(cancel))
    case.rpc.received(frame(b"abc"))
    case.rpc.request_ends()
    assert (await case.stream.status())[0] == 1
    await case.settled()


async def test_a_call_lost_before_its_first_step(rpc_case, frame):
    case = rpc_case(Unary(doubled))
    case.rpc.received(frame(b"abc"))
    case.rpc.request_ends()
    case.stream.out.end()
    case.rpc.lost()
    await case.settled()


async def test_a_call_counts_until_its_answer_has_left(rpc_case, frame):
    case = rpc_case(Unary(doubled))
    case.stream.holds_back = True
    case.rpc.received(frame(b"abc"))
    case.rpc.request_ends()
    assert await case.stream.status() == (0, "")
    await asyncio.sleep(0.01)
    assert case.count.held == 1
    case.stream.out.end()
    await case.settled()


async def test_whatever_happens_is_answered(caplog, rpc_case, frame):
    async def crash(_message, _context):
        raise ZeroDivisionError("oh")

    case = rpc_case(Unary(crash))
    case.rpc.received(frame(b"abc"))
    case.rpc.request_ends()
    code, text = await case.stream.status()
    assert (code, "ZeroDivisionError" in text) == (13, True)
    assert [record.message for record in caplog.records] == ["rpc_crashed"]
    await case.settled()


async def test_compressed_messages(rpc_case, frame):
    import gzip

    for size in (10, 200_000):
        case = rpc_case(Unary(doubled), limit=10**6, encoding=b"gzip")
        packed = gzip.compress(bytes(range(250)) * (size // 250 + 1), 0)
        case.rpc.received(frame(packed, flag=1))
        case.rpc.request_ends()
        assert await case.stream.status() == (0, "")
        assert len(case.stream.sent) == 5 + 2 * 250 * (size // 250 + 1)
        await case.settled()


def test_the_count():
    count = RpcCount(1)
    count.enter()
    with pytest.raises(RpcFailed, match="--max-concurrent-rpcs") as caught:
        count.enter()
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    assert dict(caught.value.trailers)["segserve-error-kind"] == "overloaded"
    count.leave()
    count.enter()
    endless = RpcCount(None)
    for _ in range(5):
        endless.enter()
    assert endless.held == 5
