"""Check and Watch on a real server."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb

from segserve.transport.grpc.segmentation import SERVICE as SEGMENTATION
from segserve.transport.grpc.servicer import SERVICE as INFERENCE

S = pb.HealthCheckResponse


@pytest.fixture
def check(channel):
    method = channel.unary_unary("/grpc.health.v1.Health/Check")

    async def call(service):
        request = pb.HealthCheckRequest(service=service).SerializeToString()
        return S.FromString(await method(request, timeout=10)).status

    return call


@pytest.fixture
def watch(channel):
    method = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", response_deserializer=S.FromString
    )
    return lambda service: method(pb.HealthCheckRequest(service=service).SerializeToString())


async def next_status(call):
    async with asyncio.timeout(5):
        return (await call.read()).status


@pytest.mark.parametrize("service", ["", INFERENCE])
async def test_services_tell_the_server_s_readiness(check, engine, service):
    assert await check(service) == S.SERVING
    engine.is_ready = False
    assert await check(service) == S.NOT_SERVING


async def test_clients_are_told_who_takes_calls_whatever_one_model_does(check, engine):
    engine.is_ready = False
    assert await check(SEGMENTATION) == S.SERVING
    engine.is_accepting = False
    assert await check(SEGMENTATION) == S.NOT_SERVING


async def test_models(check, refused):
    assert await check("model/echo") == S.SERVING
    assert await check("model/echo/3") == S.SERVING
    assert await check("model/echo/4") == S.NOT_SERVING
    assert await check("model/gone") == S.NOT_SERVING
    for unknown in ("model/nothing", "model/", "model/echo/x", "nothing"):
        with refused(grpc.StatusCode.NOT_FOUND, unknown):
            await check(unknown)


async def test_watch_pushes_changes_only(watch, engine):
    call = watch("")
    assert await next_status(call) == S.SERVING
    engine.change(ready=True)
    engine.change(ready=False)
    assert await next_status(call) == S.NOT_SERVING
    engine.change(ready=True)
    assert await next_status(call) == S.SERVING
    call.cancel()


async def test_watch_of_a_model_that_comes(watch, engine):
    call = watch("model/new")
    assert await next_status(call) == S.SERVICE_UNKNOWN
    engine.ready_models.add("new")
    engine.change(ready=True)
    assert await next_status(call) == S.SERVING
    call.cancel()


async def test_stopping_is_pushed_and_ends_the_watch(watch, grpc_server):
    calls = [watch(""), watch("model/echo")]
    assert [await next_status(call) for call in calls] == [S.SERVING] * 2
    # Begun before the end is there: grpc.aio reads nothing more once it knows a call's status.
    pushed = [asyncio.create_task(next_status(call)) for call in calls]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(grpc_server.stop(5))
    assert await asyncio.gather(*pushed) == [S.NOT_SERVING] * 2
    async with asyncio.timeout(5):
        assert [await call.code() for call in calls] == [grpc.StatusCode.OK] * 2
        await stopping


async def test_a_caller_that_goes_is_forgotten(watch, engine, grpc_server):
    call = watch("")
    await next_status(call)
    watches = grpc_server._health._watches
    assert len(watches) == 1
    call.cancel()
    for _ in range(500):
        if watches:
            await asyncio.sleep(0.01)
    assert not watches
