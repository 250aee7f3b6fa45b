"""inference.GRPCInferenceService on a real server."""

import asyncio

import grpc
import numpy as np
import pytest

from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport.grpc.servicer import SERVICE

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def tensor():
    return {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}],
        "raw_input_contents": [np.array([1, 2], np.float32).tobytes()],
    }


async def test_infer(rpc, engine):
    answer = await rpc(
        "ModelInfer",
        timeout_s=9,
        model_name="echo",
        metadata=[("traceparent", TRACE)],
        **tensor(),
    )
    assert (answer.model_name, answer.model_version) == ("echo", "3")
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [1, 2]
    got = engine.requests[0]
    assert got.trace.parent == TRACE
    assert 0 < got.deadline.remaining_s() < 9.01  # gRPC tells a time rounded up to hundredths


async def test_without_a_deadline(rpc, engine):
    await rpc("ModelInfer", model_name="echo", timeout_s=None, **tensor())
    assert engine.requests[0].deadline.remaining_s() == float("inf")


async def test_cancelling_reaches_the_engine(channel, engine):
    method = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    call = method(pb.ModelInferRequest(model_name="hang", **tensor()).SerializeToString())
    async with asyncio.timeout(10):
        await engine.wait_requests()
        call.cancel()
        await engine.cancelled.wait()


async def test_hints_to_retry(rpc, refused):
    with refused(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size") as caught:
        await rpc("ModelInfer", model_name="full", **tensor())
    trailers = dict(caught.value.trailing_metadata())
    assert trailers["grpc-retry-pushback-ms"] == trailers["retry-after-ms"] == "250"
    assert trailers["segserve-error-kind"] == "overloaded"


async def test_health_and_metadata(rpc, engine):
    assert (await rpc("ServerLive")).live
    assert (await rpc("ServerReady")).ready
    engine.is_ready = False
    assert not (await rpc("ServerReady")).ready
    assert (await rpc("ModelReady", name="echo")).ready
    assert not (await rpc("ModelReady", name="echo", version="4")).ready
    assert not (await rpc("ModelReady", name="nothing")).ready
    told = await rpc("ServerMetadata")
    assert (told.name, told.version, list(told.extensions)) == ("segserve", "9.9", ["statistics"])
    told = await rpc("ModelMetadata", name="echo")
    assert (list(told.versions), told.platform) == (["3"], "onnxruntime_onnx")
    assert (told.inputs[0].datatype, list(told.inputs[0].shape)) == ("FP32", [-1, 2])


async def test_config(rpc, refused):
    config = (await rpc("ModelConfig", name="echo")).config
    assert config.max_batch_size == 4
    assert config.dynamic_batching.max_queue_delay_microseconds == 7
    with refused(grpc.StatusCode.NOT_FOUND, "'nothing' is not found"):
        await rpc("ModelConfig", name="nothing")


async def test_statistics(rpc):
    row = (await rpc("ModelStatistics", name="echo")).model_stats[0]
    assert (row.name, row.version, row.last_inference) == ("echo", "3", 77)
    assert (row.inference_count, row.execution_count) == (8, 2)
    assert (row.inference_stats.success.count, row.inference_stats.success.ns) == (2, 2**40)
    assert row.inference_stats.HasField("cache_hit")
    assert row.batch_stats[0].batch_size == 4
    assert len((await rpc("ModelStatistics")).model_stats) == 1


async def test_repository(rpc, engine, refused):
    rows = (await rpc("RepositoryIndex")).models
    assert [(r.name, r.state, r.reason) for r in rows] == [
        ("echo", "READY", ""),
        ("gone", "UNAVAILABLE", "why"),
    ]
    assert len((await rpc("RepositoryIndex", ready=True)).models) == 1
    with refused(grpc.StatusCode.UNIMPLEMENTED, "'repository_name'"):
        await rpc("RepositoryIndex", repository_name="r")


async def test_load_and_unload(rpc, engine, refused):
    given = {
        "config": pb.ModelRepositoryParameter(string_param="{}"),
        "file:1/a": pb.ModelRepositoryParameter(bytes_param=b"b"),
    }
    await rpc("RepositoryModelLoad", model_name="m", parameters=given)
    yes = {"unload_dependents": pb.ModelRepositoryParameter(bool_param=True)}
    await rpc("RepositoryModelUnload", model_name="m", parameters=yes)
    assert engine.calls == [("load", "m", "{}", {"file:1/a"[5:]: b"b"}), ("unload", "m", True)]
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "unrecognized load parameter 'x'"):
        await rpc("RepositoryModelLoad", model_name="m", parameters={"x": {}})
    with refused(grpc.StatusCode.UNIMPLEMENTED, "'repository_name'"):
        await rpc("RepositoryModelLoad", model_name="m", repository_name="r")
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "names no model"):
        await rpc("RepositoryModelUnload")


async def test_the_plain_kserve_proto_has_the_name_in_field_1(rpc, engine):
    answer = await rpc("RepositoryModelLoad", repository_name="m")
    assert (answer.model_name, answer.isLoaded) == ("m", True)
    answer = await rpc("RepositoryModelUnload", repository_name="m")
    assert (answer.model_name, answer.isUnloaded) == ("m", True)
    assert [call[:2] for call in engine.calls] == [("load", "m"), ("unload", "m")]


async def test_what_is_not_offered_says_so(channel, refused):
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert len(methods) == 20
    refusing = [
        m for m in methods if any(w in m.name for w in ("Shared", "Trace", "Log", "Stream"))
    ]
    assert len(refusing) == 9
    for method in refusing:
        with refused(grpc.StatusCode.UNIMPLEMENTED, f"rpc {method.name} of {SERVICE} is not"):
            if method.client_streaming:
                _ = [m async for m in channel.stream_stream(f"/{SERVICE}/{method.name}")(iter([]))]
            else:
                await channel.unary_unary(f"/{SERVICE}/{method.name}")(b"")


@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "RepositoryIndex", "ModelConfig"])
async def test_bytes_that_are_no_message(channel, refused, method):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "message"):
        await channel.unary_unary(f"/{SERVICE}/{method}")(b"\xff\xff\xff")
