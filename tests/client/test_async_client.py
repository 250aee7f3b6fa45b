"""The asyncio client against a small server."""

import asyncio
import threading
import time

import grpc
import pytest

from segserve.client import AsyncClient, ErrorKind, RetryPolicy, SegserveError

FULL = [("grpc-retry-pushback-ms", "20")]


@pytest.fixture
async def client(server):
    async with AsyncClient(server.address, timeout_s=20) as connected:
        yield connected


async def test_one_image(client, server):
    result = await client.segment(b"jpeg", "m", version=2)
    assert (result.model, result.version) == ("m", 3)
    assert server.requests[0].model_version == "2"


async def test_many_at_once(client):
    results = await asyncio.gather(*(client.segment(b"x", f"m{n}") for n in range(40)))
    assert [result.model for result in results] == [f"m{n}" for n in range(40)]


async def test_retries_when_the_server_asks_for_it(client, server):
    server.fail(grpc.StatusCode.UNAVAILABLE, "full", FULL, times=2)
    assert (await client.segment(b"x", "m")).version == 3
    assert len(server.requests) == 3


async def test_unavailable_without_a_hint_is_not_repeated(client, server):
    server.fail(grpc.StatusCode.UNAVAILABLE, "gone")
    with pytest.raises(SegserveError, match="gone"):
        await client.segment(b"x", "m")
    assert len(server.requests) == 1


async def test_the_deadline_ends_a_call(client, server):
    release = threading.Event()
    server.on_segment = lambda request, context: release.wait(5)
    with pytest.raises(SegserveError) as caught:
        await client.segment(b"x", "m", timeout_s=0.2)
    release.set()
    assert caught.value.kind is ErrorKind.DEADLINE_EXCEEDED


async def test_cancelling_reaches_the_server(client, server):
    begun, gone = threading.Event(), threading.Event()

    def hang(request, context):
        context.add_callback(gone.set)
        begun.set()
        gone.wait(10)

    server.on_segment = hang
    task = asyncio.create_task(client.segment(b"x", "m"))
    assert await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(gone.wait, 5)


async def test_no_server_is_told_within_the_bound():
    begun = time.monotonic()
    async with AsyncClient("127.0.0.1:9", retry=RetryPolicy(connect_timeout_s=0.3)) as client:
        with pytest.raises(SegserveError) as caught:
            await client.segment(b"x", "m")
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert time.monotonic() - begun < 5


async def test_a_closed_client_says_so(client):
    await client.close()
    with pytest.raises(SegserveError, match="closed"):
        await client.segment(b"x", "m")


async def test_the_priority_goes_with_the_request(client, server):
    await client.segment(b"x", "m", priority=2)
    async for answer in client.segment_many([b"x"], "m", priority=3):
        assert answer.error is None
    assert [request.priority for request in server.requests] == [2, 3]
