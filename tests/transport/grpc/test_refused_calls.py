"""Calls that fail before their model is found leave one line in the log."""

import asyncio

import grpc
import pytest

from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.generated.segserve.v1 import segmentation_pb2 as seg
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.server import GrpcServer

INFER = "inference.GRPCInferenceService/ModelInfer"
SEGMENT = "segserve.v1.Segmentation/Segment"


def infer(model="echo", version="", size=2, *, mixed=False):
    message = pb.ModelInferRequest(model_name=model, model_version=version, id="r1")
    row = message.inputs.add(name="x", datatype="UINT8", shape=[2])
    if mixed:
        row.contents.uint_contents.append(1)
    message.raw_input_contents.append(bytes(size))
    return message.SerializeToString()


def segment(model):
    return seg.SegmentRequest(model_name=model, encoded=b"jpeg", id="r1").SerializeToString()


CASES = [
    (INFER, infer("nothing"), "r1", "OTHER", "unknown model: 'nothing'"),
    (INFER, infer(version="new"), "r1", "OTHER", "specified version string 'new'"),
    (INFER, infer(size=3), "r1", "OTHER", "Expected 2, got 3"),
    (INFER, infer(mixed=True), "r1", "OTHER", "contents field must not be specified"),
    (INFER, infer("full"), "r1", "REJECTED", "Exceeds maximum queue size"),
    (INFER, b"\xff\xff", "<id_unknown>", "OTHER", "no ModelInferRequest message"),
    (SEGMENT, segment("nothing"), "r1", "OTHER", "unknown model: 'nothing'"),
    (SEGMENT, segment(""), "r1", "OTHER", "names no model"),
    (
        "inference.GRPCInferenceService/LogSettings",
        b"",
        "<id_unknown>",
        "OTHER",
        "LogSettings of inference",
    ),
    (
        "grpc.health.v1.Health/Check",
        b"\n\1x",
        "<id_unknown>",
        "OTHER",
        "unknown service 'x'",
    ),
]


def lines(caplog):
    told = [r for r in caplog.records if r.message == "request_failed"]
    return [(r.request_id, r.method, r.reason, r.error) for r in told]


@pytest.mark.parametrize("case", CASES, ids=[case[-1] for case in CASES])
async def test_a_refused_call(channel, caplog, case):
    method, message, *told, text = case
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary(f"/{method}")(message)
    (line,) = lines(caplog)
    assert [line[0], line[2]] == told
    assert line[1] == method
    assert text in line[3]


async def test_a_refused_image_of_a_stream(channel, caplog):
    method = channel.stream_stream("/segserve.v1.Segmentation/SegmentStream")
    request = seg.SegmentStreamRequest(request=seg.SegmentRequest.FromString(segment("nothing")))
    _ = [row async for row in method(iter([request.SerializeToString()] * 2))]
    expected = ("r1", "segserve.v1.Segmentation/SegmentStream", "OTHER")
    assert [line[:3] for line in lines(caplog)] == [expected] * 2


@pytest.mark.parametrize("front", ["native"])
async def test_what_is_no_request(engine, front, caplog):
    """What grpcio itself refuses it does not tell."""
    server = GrpcServer(engine, GrpcOptions(front, max_request_bytes=1000, max_concurrent_rpcs=1))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method, size in ((INFER, 2000), ("a.B/C", 1)):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/{method}")(bytes(size))
        hanging = channel.unary_unary(f"/{INFER}")(infer("hang"))
        await engine.wait_requests()
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(f"/{INFER}")(infer())
        hanging.cancel()
        await engine.cancelled.wait()
        await asyncio.sleep(0.01)
    await server.stop(0.1)
    assert [line[:3] for line in lines(caplog)] == [
        ("<id_unknown>", INFER, "OTHER"),
        ("<id_unknown>", "a.B/C", "OTHER"),
        ("<id_unknown>", INFER, "REJECTED"),
    ]
    texts = [line[3] for line in lines(caplog)]
    assert "--max-request-bytes" in texts[0]
    assert "--max-concurrent-rpcs" in texts[2]
