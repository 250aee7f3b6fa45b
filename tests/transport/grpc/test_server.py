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


class Crossing:
    """A front one of whose callers has not heard yet that it shall leave."""

    def __init__(self, front, call):
        self._front, self._call, self.answer = front, call, None
        self.close = front.close

    def retire(self):
        pass

    async def heeded(self, timeout_s):
        self.answer = await self._call()

    def admit(self):
        pass


async def test_what_crosses_the_word_to_leave_is_served(engine, grpc_server, channel):
    method = channel.unary_unary(INFER)
    front = Crossing(grpc_server._front, lambda: method(request("echo"), timeout=10))
    grpc_server._front = front
    await grpc_server.stop(5)
    grpc_server._front = front._front
    assert pb.ModelInferResponse.FromString(front.answer).model_name == "echo"


async def test_a_restart_costs_those_who_go_round_no_call(engine, front):
    if front == "grpcio":
        pytest.skip("grpcio tells its callers of the stop no sooner than it stops")
    servers = [GrpcServer(engine, GrpcOptions(front)) for _ in range(2)]
    ports = [await server.start() for server in servers]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    round_robin = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')
    stopped = asyncio.Event()

    async def call(method):
        while not stopped.is_set():
            await method(request("echo"), timeout=10)

    async with grpc.aio.insecure_channel(target, options=[round_robin]) as channel:
        method = channel.unary_unary(INFER)
        calling = [asyncio.create_task(call(method)) for _ in range(8)]
        await asyncio.sleep(0.3)
        await servers[0].stop(5)
        await asyncio.sleep(0.1)
        stopped.set()
        await asyncio.gather(*calling)
    await servers[1].stop(5)


async def test_stopping_is_bounded(engine, grpc_server, channel):
    call = channel.unary_unary(INFER)(request("hang"))
    async with asyncio.timeout(10):
        await engine.wait_requests()
        await grpc_server.stop(0.1)
        assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await engine.cancelled.wait()


async def test_stop_before_start(engine, front):
    await GrpcServer(engine, GrpcOptions(front)).stop(1)
