"""Server reflection, v1 and v1alpha, which have the same messages under two names.

grpcio-reflection has v1alpha alone, so v1's description is made from it. Protocol:
https://github.com/grpc/grpc/blob/master/doc/server-reflection.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha import reflection_pb2 as pb

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICES = tuple(f"{package}.ServerReflection" for package in (_ALPHA, _V1))


def handlers(services: Iterable[str]) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
    """Give what a gRPC server registers to describe the named services and itself."""
    _add_v1_description()
    servicer = reflection.aio.ReflectionServicer((*services, *SERVICES))  # type: ignore[attr-defined]  # not in grpc-stubs
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=pb.ServerReflectionRequest.FromString,
        response_serializer=pb.ServerReflectionResponse.SerializeToString,
    )
    return tuple(
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        for name in SERVICES
    )


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
