"""Many images over one asyncio stream."""

import asyncio
import threading

import grpc
import pytest

from segserve.client import AsyncClient, ErrorKind, SegserveError
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


@pytest.fixture
async def client(server):
    async with AsyncClient(server.address, timeout_s=20) as connected:
        yield connected


async def gather(stream):
    return sorted([answer async for answer in stream], key=lambda answer: answer.index)


async def test_all_images_are_answered(client):
    answers = await gather(client.segment_many([b"x"] * 50, "m", in_flight=4))
    assert [answer.index for answer in answers] == list(range(50))
    assert all(answer.result.model == "m" for answer in answers)


async def test_a_failed_image_is_a_value(client, server, tmp_path):
    def fails(requests, context):
        for message in requests:
            error = pb.Error(kind=pb.ERROR_KIND_OVERLOADED, message="full", retry_after_us=5000)
            yield pb.SegmentStreamResponse(id=message.request.id, error=error)

    server.on_stream = fails
    first, second = await gather(client.segment_many([b"x", tmp_path / "none"], "m"))
    assert (first.error.kind, first.error.retry_after_s) == (ErrorKind.OVERLOADED, 0.005)
    assert second.error.kind is ErrorKind.INVALID_ARGUMENT


async def test_leaving_the_loop_cancels(client, server):
    ended = threading.Event()

    def forever(requests, context):
        context.add_callback(ended.set)
        yield from server.answer_each(requests, context)

    server.on_stream = forever
    stream = client.segment_many(iter(lambda: b"x", None), "m")
    async for _ in stream:
        break
    await stream.aclose()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_broken_stream_raises(client, server):
    def breaks(requests, context):
        yield from server.answer_each([next(requests)], context)
        context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    server.on_stream = breaks
    # grpc.aio puts an internal error in the place of the status when a write crosses the end
    with pytest.raises(SegserveError, match=r"going away|Internal error from Core"):
        await gather(client.segment_many([b"x"] * 500, "m"))


async def test_a_stream_that_ends_early_raises(client, server):
    server.on_stream = lambda requests, context: iter(())
    # gRPC reports a write into a stream that has just ended as an internal error
    with pytest.raises(SegserveError, match=r"unanswered|Internal"):
        await gather(client.segment_many([b"x"] * 3, "m"))


async def test_silence_raises(server):
    release = threading.Event()
    server.on_stream = lambda requests, context: (release.wait(5) and m for m in requests)
    async with AsyncClient(server.address, timeout_s=0.3) as client:
        with pytest.raises(SegserveError) as caught:
            await gather(client.segment_many([b"x"], "m"))
    release.set()
    assert caught.value.kind is ErrorKind.DEADLINE_EXCEEDED


async def test_what_the_source_raises_is_raised(client):
    def broken():
        yield b"x"
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        await gather(client.segment_many(broken(), "m"))
