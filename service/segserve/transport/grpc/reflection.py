"""Server reflection, v1 and v1alpha, which have the same messages under two names.

grpcio-reflection has v1alpha alone, so v1's description is made from it. It is imported, with all
of grpcio, when somebody asks for the first time. Protocol:
https://github.com/grpc/grpc/blob/master/doc/server-reflection.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2 as pb

from segserve.transport.grpc import codec
from segserve.transport.grpc.calls import Calls
from segserve.transport.grpc.methods import RpcContext, Service
from segserve.transport.tensor_bytes import Buffer

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICES = tuple(f"{package}.ServerReflection" for package in (_ALPHA, _V1))


def methods(services: Iterable[str], calls: Calls) -> Service:
    """Give what a gRPC server serves, under each of `SERVICES`, to describe services and itself."""
    names = (*services, *SERVICES)

    async def answer(messages: AsyncIterator[Buffer], context: RpcContext) -> None:
        servicer = await asyncio.to_thread(_servicer, names)

        async def requests() -> AsyncIterator[pb.ServerReflectionRequest]:
            async for message in messages:
                yield _of_service(codec.parse(pb.ServerReflectionRequest, message))

        async for told in servicer.ServerReflectionInfo(requests(), context):
            await context.write(told.SerializeToString())

    return {"ServerReflectionInfo": calls.stream("ServerReflectionInfo", answer, counted=False)}


def _of_service(request: pb.ServerReflectionRequest) -> pb.ServerReflectionRequest:
    """Ask for a method's service in its place: the pool that answers does not know methods."""
    service, _, method = request.file_containing_symbol.rpartition(".")
    if service:
        with suppress(KeyError):
            found = descriptor_pool.Default().FindServiceByName(service)
            if method in found.methods_by_name:
                request.file_containing_symbol = service
    return request


@cache
def _servicer(names: tuple[str, ...]) -> Any:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415  it imports grpcio

    _add_v1_description()
    return reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]  # not in grpc-stubs


@cache
def _add_v1_description() -> None:
    text = pb.DESCRIPTOR.serialized_pb
    alpha = descriptor_pb2.FileDescriptorProto.FromString(text)
    alpha.name = "grpc/reflection/v1/reflection.proto"
    alpha.package = _V1
    alpha.ClearField("options")
    for message in alpha.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for method in alpha.service[0].method:
        method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
        method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    descriptor_pool.Default().AddSerializedFile(alpha.SerializeToString())
