"""Reflection describes everything that is served, in both versions."""

import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

from segserve.transport.grpc import health, reflection, segmentation, servicer

SERVED = {*reflection.SERVICES, health.SERVICE, segmentation.SERVICE, servicer.SERVICE}


@pytest.fixture(params=reflection.SERVICES)
def ask(request, channel):
    method = channel.stream_stream(f"/{request.param}/ServerReflectionInfo")

    async def call(**fields):
        message = pb.ServerReflectionRequest(**fields).SerializeToString()
        answers = [a async for a in method(iter([message]), timeout=10)]
        return pb.ServerReflectionResponse.FromString(answers[0])

    return call


async def test_lists_every_service(ask):
    rows = (await ask(list_services="")).list_services_response.service
    assert {row.name for row in rows} == SERVED


@pytest.mark.parametrize("service", sorted(SERVED))
async def test_describes_every_service(ask, service):
    answer = await ask(file_containing_symbol=service)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert service in {f"{f.package}.{s.name}" for f in files for s in f.service}


async def test_describes_a_method(ask):
    answer = await ask(file_containing_symbol=f"{servicer.SERVICE}.ModelInfer")
    assert answer.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("name", ["no.Such", f"{servicer.SERVICE}.NoSuch", "NoSuch"])
async def test_unknown_symbol(ask, name):
    assert (await ask(file_containing_symbol=name)).error_response.error_code == 5
