"""A deadline that passes, and a caller that goes: told and counted alike by both fronts."""

import asyncio
import struct
from types import SimpleNamespace

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from segserve.core.deadline import PASSED
from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.observability.metrics import Metrics
from segserve.observability.tracing import NoTracer
from segserve.serving.accounting import Accounts, Work
from segserve.serving.statistics import ModelMeter

PATH = "/inference.GRPCInferenceService/ModelInfer"
TOLD = ("segserve-error-kind", "grpc-status", "grpc-message")


@pytest.fixture
async def counted(engine):
    """Have the engine's requests accounted for; gives the metrics."""
    metrics = Metrics()
    model = metrics.model("hang", "1", {})
    parts = SimpleNamespace(ref=SimpleNamespace(name="hang", version=1))
    parts.meter, parts.metrics = ModelMeter(), model
    answer = engine.infer

    async def infer(request):
        one = Work(SimpleNamespace(parts=parts), request.id, request.trace, request.deadline)
        return await Accounts(NoTracer()).answer(one, answer(request))

    engine.infer = infer
    return metrics


async def reasons(metrics):
    """Wait for a failure; gives what it was counted as."""
    async with asyncio.timeout(5):
        while True:
            lines = metrics.counters.render().splitlines()
            rows = [row for row in lines if row.startswith("nv_inference_request_failure{")]
            found = [row.split('"')[-2] for row in rows if not row.endswith(" 0")]
            if found:
                return found
            await asyncio.sleep(0.005)


def request():
    data = pb.ModelInferRequest(model_name="hang", id="r1").SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


async def patient_call(port, wait):
    """Call with a deadline that the caller itself does not watch; gives the trailers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    rows = {":method": "POST", ":scheme": "http", ":path": PATH, ":authority": "here"}
    rows |= {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": wait}
    client.send_headers(1, list(rows.items()))
    client.send_data(1, request(), end_stream=True)
    told = {}
    try:
        while "grpc-status" not in told:
            writer.write(client.data_to_send())
            for event in client.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    told |= {name.decode(): value.decode() for name, value in event.headers}
    finally:
        writer.close()
        await writer.wait_closed()
    return told


async def test_a_deadline_that_passes(grpc_server, counted, front):
    async with asyncio.timeout(10):
        told = await patient_call(grpc_server.port, "150m")
    if front == "grpcio" and TOLD[0] not in told:  # its own clock was quicker than ours
        assert told["grpc-status"] == "4"
    else:
        assert [told.get(name) for name in TOLD] == ["deadline_exceeded", "4", PASSED]
    assert await reasons(counted) == ["OTHER"]


@pytest.mark.parametrize("seconds", [0.2, 1.234])
async def test_a_caller_that_watches_its_deadline_itself(channel, counted, seconds, caplog):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(PATH)(request()[5:], timeout=seconds)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await reasons(counted) == ["OTHER"]
    assert [record.error for record in caplog.records] == [PASSED]


async def test_a_caller_that_goes(channel, counted, engine, caplog):
    call = channel.unary_unary(PATH)(request()[5:], timeout=10)
    await engine.wait_requests()
    call.cancel()
    assert await reasons(counted) == ["CANCELED"]
    assert [record.error for record in caplog.records] == ["the caller has gone"]
