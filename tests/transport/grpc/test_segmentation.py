"""segserve.v1.Segmentation on a real server."""

import asyncio

import grpc
import pytest

from segserve.generated.segserve.v1 import segmentation_pb2 as pb
from segserve.transport.grpc.segmentation import MAX_IN_FLIGHT


@pytest.fixture
def segment(channel):
    method = channel.unary_unary(
        "/segserve.v1.Segmentation/Segment",
        request_serializer=pb.SegmentRequest.SerializeToString,
        response_deserializer=pb.SegmentResponse.FromString,
    )

    def call(model="seg", **fields):
        return method(pb.SegmentRequest(model_name=model, encoded=b"jpeg", **fields), timeout=10)

    return call


@pytest.fixture
def stream(channel):
    return channel.stream_stream(
        "/segserve.v1.Segmentation/SegmentStream",
        request_serializer=pb.SegmentStreamRequest.SerializeToString,
        response_deserializer=pb.SegmentStreamResponse.FromString,
    )


def streamed(model="seg", **fields):
    request = pb.SegmentRequest(model_name=model, encoded=b"jpeg", **fields)
    return pb.SegmentStreamRequest(request=request)


async def test_segment(segment, engine):
    answer = await segment(id="a", options=pb.SegmentOptions(mask_format=pb.MASK_FORMAT_RAW))
    assert (answer.id, answer.model_name, answer.model_version) == ("a", "seg", "3")
    assert (answer.width_px, answer.height_px, answer.batch_size) == (3, 2, 1)
    assert (answer.model_digest, answer.image_digest) == ("sha256:m", "sha256:i")
    assert answer.timings.decode_us == 1000
    assert answer.HasField("refined")
    assert not answer.refined
    segment_row = answer.label_map.segments[0]
    assert (segment_row.label, segment_row.area_px, segment_row.mask.counts) == ("cat", 6, b"06")
    assert not segment_row.HasField("score")
    assert (answer.label_map.raw.bytes_per_pixel, len(answer.label_map.raw.data)) == (2, 12)
    regions = answer.regions
    assert list(regions.boxes) == [0, 1, 2, 3.5]
    assert (list(regions.labels), list(regions.label_ids)) == (["cat"], [1])
    assert (regions.mask_height_px, list(regions.mask_counts)) == (2, [b"06"])
    assert (list(regions.region_ids), list(regions.descriptors)) == (["r"], [1, 2])
    assert engine.requests[0].deadline.remaining_s() < 11  # the call's 10 s, and rounding


async def test_failures_have_a_status(segment, refused):
    with refused(grpc.StatusCode.NOT_FOUND, "unknown model: 'no'"):
        await segment("no")
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "unknown refine 9"):
        await segment(options=pb.SegmentOptions(refine=9))


async def test_labels_of_a_model_that_went_away(segment, engine):
    engine.label_names = lambda ref: engine._check(type(ref)("nothing"))
    assert (await segment()).label_map.segments[0].label == ""


async def test_stream_answers_good_and_bad_by_id(stream):
    rows = [streamed(id="a"), streamed("full", id="b"), streamed(id="c"), streamed("no", id="d")]
    broken = pb.SegmentStreamRequest(request=pb.SegmentRequest(model_name="seg", id="e"))
    got = {row.id: row async for row in stream([*rows, broken])}
    assert got["a"].response.regions.scores[0] == 0.5
    assert got["c"].response.id == "c"
    assert got["b"].error.kind == pb.ERROR_KIND_OVERLOADED
    assert got["b"].error.retry_after_us == 250_000
    assert got["d"].error.kind == pb.ERROR_KIND_NOT_FOUND
    assert "has no image" in got["e"].error.message


async def test_stream_is_bounded_and_cancelled(stream, engine):
    calls = [stream(iter([streamed("hang")] * (MAX_IN_FLIGHT * 2)))]
    async with asyncio.timeout(10):
        await engine.wait_requests(MAX_IN_FLIGHT)
        await asyncio.sleep(0.1)
        assert len(engine.requests) == MAX_IN_FLIGHT
        calls[0].cancel()
        await engine.cancelled.wait()


async def test_a_broken_stream_message(stream, channel):
    raw = channel.stream_stream("/segserve.v1.Segmentation/SegmentStream")
    answers = [pb.SegmentStreamResponse.FromString(data) async for data in raw(iter([b"\xff\xff"]))]
    assert answers[0].error.kind == pb.ERROR_KIND_INVALID_ARGUMENT


async def test_a_bug_ends_the_stream_with_a_status(stream, refused):
    with refused(grpc.StatusCode.INTERNAL, "internal error"):
        _ = [row async for row in stream(iter([streamed("bug")]))]


async def test_cancelling_reaches_the_engine(segment, engine):
    call = segment("hang")
    async with asyncio.timeout(10):
        await engine.wait_requests()
        call.cancel()
        await engine.cancelled.wait()


async def test_an_idle_stream_ends_when_the_server_stops(stream, grpc_server):
    call = stream()
    await call.write(streamed(id="a"))
    assert (await call.read()).id == "a"
    async with asyncio.timeout(2):
        await grpc_server.stop(30)
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    told = dict(await call.trailing_metadata())
    assert (told["segserve-error-kind"], told["grpc-retry-pushback-ms"]) == ("unavailable", "1000")


async def test_a_stream_that_the_server_ends_gets_its_answers_first(stream, engine, grpc_server):
    release = asyncio.Event()

    async def wait(_ref):
        await release.wait()

    engine._maybe_hang = wait
    call = stream()
    for name in "ab":
        await call.write(streamed(id=name))
    async with asyncio.timeout(10):
        await engine.wait_requests(2)
        stopping = asyncio.create_task(grpc_server.stop(30))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        release.set()
        rows = [await call.read(), await call.read()]
        assert {row.id for row in rows} == {"a", "b"}
        assert all(row.HasField("response") for row in rows)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        await stopping
