"""Ports, limits, the order of stopping."""

import asyncio
import socket

import grpc
import pytest

from segserve.core.errors import LoadFailed
from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.server import GrpcServer
from segserve.transport.grpc.servicer import SERVICE

INFER = f"/{SERVICE}/ModelInfer"


def request(model, size=1):
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="UINT8", shape=[size])
    message.raw_input_contents.append(bytes(size))
    return message.SerializeToString()


async def test_a_taken_port_is_named(engine, front):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoadFailed, match=f"{port}.*--grpc-port"):
            await GrpcServer(engine, GrpcOptions(front, port=port)).start()


async def test_two_servers_do_not_share_a_port(engine, front, grpc_server):
    with pytest.raises(LoadFailed, match="--grpc-port"):
        await GrpcServer(engine, GrpcOptions(front, port=grpc_server.port)).start()


async def test_sharing_on_demand(engine, front):
    first = GrpcServer(engine, GrpcOptions(front, reuse_port=True))
    port = await first.start()
    second = GrpcServer(engine, GrpcOptions(front, reuse_port=True, port=port))
    assert await second.start() == port
    await asyncio.gather(first.stop(0.1), second.stop(0.1))


async def test_a_message_over_the_limit(channel, refused):
    assert await channel.unary_unary(INFER)(request("echo", 900_000))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"):
        await channel.unary_unary(INFER)(request("echo", 1_000_000))


async def test_calls_over_the_limit(engine, front, refused):
    server = GrpcServer(engine, GrpcOptions(front, max_concurrent_rpcs=1))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(INFER)
        first = method(request("hang"))
        async with asyncio.timeout(5):
            await engine.wait_requests()
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, ""):
            await method(request("echo"))
        first.cancel()
    await server.stop(1)


async def test_stopping_lets_calls_finish_and_answers_new_ones(
    engine, grpc_server, channel, refused
):
    release = asyncio.Event()

    async def wait(_ref):
        await release.wait()

    engine._maybe_hang = wait
    method = channel.unary_unary(INFER)
    running = [asyncio.ensure_future(method(request("echo"))) for _ in range(3)]
    async with asyncio.timeout(10):
        await engine.wait_requests(3)
        stopping = asyncio.create_task(grpc_server.stop(10))
        await asyncio.sleep(0.05)
        with refused(grpc.StatusCode.UNAVAILABLE, "Server is stopping") as caught:
            await method(request("echo"))
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        release.set()
        for data in await asyncio.gather(*running):
            assert pb.ModelInferResponse.FromString(data).model_name == "echo"
        await stopping


async def test_stopping_is_bounded(engine, grpc_server, channel):
    call = channel.unary_unary(INFER)(request("hang"))
    async with asyncio.timeout(10):
        await engine.wait_requests()
        await grpc_server.stop(0.1)
        assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await engine.cancelled.wait()


async def test_stop_before_start(engine, front):
    await GrpcServer(engine, GrpcOptions(front)).stop(1)
