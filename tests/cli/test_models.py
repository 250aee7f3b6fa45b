"""``segserve models`` against a small KServe server."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from segserve.cli.main import main
from segserve.generated.inference import grpc_service_pb2 as pb

ENTRIES = [
    {"name": "good", "version": "2", "state": "READY"},
    {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "bad file\nline 2"},
    {"name": "idle"},
]


def index(request, context):
    return pb.RepositoryIndexResponse(
        models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in ENTRIES]
    )


def metadata(request, context):
    tensor = pb.ModelMetadataResponse.TensorMetadata(name="x", datatype="FP32", shape=[-1, 3])
    return pb.ModelMetadataResponse(name=request.name, inputs=[tensor], outputs=[tensor])


@pytest.fixture(scope="module")
def address():
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "RepositoryIndex": grpc.unary_unary_rpc_method_handler(
            index,
            pb.RepositoryIndexRequest.FromString,
            pb.RepositoryIndexResponse.SerializeToString,
        ),
        "ModelMetadata": grpc.unary_unary_rpc_method_handler(
            metadata, pb.ModelMetadataRequest.FromString, pb.ModelMetadataResponse.SerializeToString
        ),
    }
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_json(address, capsys):
    assert main(["models", "--server", address, "--json"]) == 0
    good, broken, idle = json.loads(capsys.readouterr().out)
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
    assert good == {
        "name": "good",
        "version": "2",
        "state": "READY",
        "reason": "",
        "inputs": [tensor],
        "outputs": [tensor],
    }
    assert (broken["state"], broken["reason"], broken["inputs"]) == (
        "UNAVAILABLE",
        "bad file\nline 2",
        [],
    )
    assert idle["state"] == ""


def test_a_table_for_people(address, capsys):
    assert main(["models", "--server", address]) == 0
    head, good, broken, idle = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "VERSION", "STATE", "INPUTS", "OUTPUTS", "REASON"]
    assert "x FP32 [-1, 3]" in good
    assert broken.endswith("bad file line 2")
    assert idle.split() == ["idle", "-", "-"]


def test_a_server_that_is_not_there(capsys):
    assert main(["models", "--server", "127.0.0.1:9"]) == 1
    (reason,) = capsys.readouterr().err.splitlines()
    assert reason.startswith("segserve models: 127.0.0.1:9: ")


def test_an_address_that_is_none(capsys):
    assert main(["models", "--server", "nothing"]) == 2
    assert "expected host:port" in capsys.readouterr().err
