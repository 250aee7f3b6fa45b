"""grpcio as the front: what only it does."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.grpcio_front import GrpcioFront


async def test_an_address_that_nobody_has():
    front = GrpcioFront({}, GrpcOptions("grpcio", address="203.0.113.7"))
    with pytest.raises(LoadFailed, match="--grpc-port"):
        await front.start()


async def test_closing_before_starting():
    front = GrpcioFront({}, GrpcOptions("grpcio"))
    front.retire()
    await front.close(0.1)
