"""gRPC's own services through their own packages: ``standard_grpc.py ADDRESS``."""

import asyncio
import sys
import time

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from outcomes import run_cases_async

SERVICES = {"inference.GRPCInferenceService", "segserve.v1.Segmentation", "grpc.health.v1.Health"}
STATUS = health_pb2.HealthCheckResponse.ServingStatus
TIMEOUT_S = 20


def health(channel):
    return health_pb2_grpc.HealthStub(channel)


def named(service):
    return health_pb2.HealthCheckRequest(service=service)


def case_health_check(channel):
    for service in ("", *sorted(SERVICES - {"grpc.health.v1.Health"}), "model/add_sub"):
        answer = health(channel).Check(named(service), timeout=TIMEOUT_S)
        assert answer.status == STATUS.SERVING, service


def case_health_check_of_the_unknown(channel):
    with pytest.raises(grpc.RpcError) as caught:
        health(channel).Check(named("model/nothing"), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def case_health_watch_tells_at_once(channel):
    watch = health(channel).Watch(named("model/add_sub"), timeout=TIMEOUT_S)
    assert next(watch).status == STATUS.SERVING
    watch.cancel()
    unknown = health(channel).Watch(named("model/nothing"), timeout=TIMEOUT_S)
    assert next(unknown).status == STATUS.SERVICE_UNKNOWN
    unknown.cancel()


def case_health_watch_follows_a_model(channel):
    def control(method, name):
        # field 2 is model_name in RepositoryModelLoadRequest and RepositoryModelUnloadRequest
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        call(b"\x12" + bytes([len(name)]) + name, timeout=TIMEOUT_S)

    control("RepositoryModelLoad", b"switch")
    watch = health(channel).Watch(named("model/switch"), timeout=TIMEOUT_S)
    assert next(watch).status == STATUS.SERVING
    control("RepositoryModelUnload", b"switch")
    end_s = time.monotonic() + TIMEOUT_S
    while next(watch).status == STATUS.SERVING and time.monotonic() < end_s:
        pass
    control("RepositoryModelLoad", b"switch")
    while next(watch).status != STATUS.SERVING and time.monotonic() < end_s:
        pass
    watch.cancel()
    control("RepositoryModelUnload", b"switch")


def case_reflection_lists_and_describes(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= SERVICES
    pool = DescriptorPool(database)
    infer = pool.FindServiceByName("inference.GRPCInferenceService").FindMethodByName("ModelInfer")
    fields = {f.name: f.number for f in infer.input_type.fields}
    assert fields["raw_input_contents"] == 7
    ours = pool.FindServiceByName("segserve.v1.Segmentation")
    assert {m.name for m in ours.methods} >= {"Segment", "SegmentStream"}


def case_reflection_v1(channel):
    # grpc_reflection ships v1alpha only; the messages of v1 are the same on the wire.
    call = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = call(iter([asked]), timeout=TIMEOUT_S)
    assert {s.name for s in answer.list_services_response.service} >= SERVICES


asyncio.run(run_cases_async(globals(), lambda: grpc.insecure_channel(sys.argv[1])))
