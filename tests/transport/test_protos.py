"""The protos: generated code is fresh, the wire is what clients of KServe and Triton speak."""

import importlib.util
import shutil
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2

from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.generated.segserve.v1 import segmentation_pb2

# message -> field -> number, as KServe's and Triton's clients have them
NUMBERS = {
    "ModelInferRequest": "model_name model_version id parameters inputs outputs raw_input_contents",
    "ModelInferResponse": "model_name model_version id parameters outputs raw_output_contents",
    "InferParameter": "bool_param int64_param string_param double_param uint64_param",
    "InferTensorContents": "bool_contents int_contents int64_contents uint_contents"
    " uint64_contents fp32_contents fp64_contents bytes_contents",
    "ModelStatistics": "name version last_inference inference_count execution_count"
    " inference_stats batch_stats memory_usage response_stats",
    "InferStatistics": "success fail queue compute_input compute_infer compute_output cache_hit"
    " cache_miss",
    "StatisticDuration": "count ns",
    "ModelRepositoryParameter": "bool_param int64_param string_param bytes_param",
    "RepositoryModelLoadRequest": "repository_name model_name parameters",
    "RepositoryModelLoadResponse": "model_name isLoaded",
    "RepositoryModelUnloadResponse": "model_name isUnloaded",
    "ModelStreamInferResponse": "error_message infer_response",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_field_numbers(name):
    fields = pb.DESCRIPTOR.message_types_by_name[name].fields_by_name
    expected = {field: n for n, field in enumerate(NUMBERS[name].split(), 1)}
    assert {field: fields[field].number for field in fields} == expected


def test_services():
    assert len(pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods) == 20
    methods = segmentation_pb2.DESCRIPTOR.services_by_name["Segmentation"].methods
    assert [m.name for m in methods] == ["Segment", "SegmentStream"]


def test_generated_code_is_fresh(repo_root, tmp_path):
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    script = repo_root / "proto" / "generate.py"
    command = [sys.executable, str(script), "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    committed = repo_root / "service" / "segserve" / "generated"
    fresh = {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.py*")}
    there = {
        p.relative_to(committed)
        for p in committed.rglob("*.py*")
        if p.parent != committed and "__pycache__" not in p.parts
    }
    assert fresh == there
    stale = [p for p in fresh if (tmp_path / "out" / p).read_text() != (committed / p).read_text()]
    assert stale == [], "run `make proto`"


def public_fields(files):
    """Give ``message.field -> (number, type, label)`` of our own API."""
    result = {}
    for file in files:
        if file.package == "segserve.v1":
            for message in file.message_type:
                for field in message.field:
                    key = f"{message.name}.{field.name}"
                    result[key] = (field.number, field.type, field.type_name, field.label)
            for enum in file.enum_type:
                result.update({f"{enum.name}.{v.name}": v.number for v in enum.value})
    return result


def test_nothing_of_our_api_was_broken(repo_root):
    released = descriptor_pb2.FileDescriptorSet.FromString(
        (repo_root / "proto" / "segserve.binpb").read_bytes()
    )
    now = descriptor_pb2.FileDescriptorProto()
    segmentation_pb2.DESCRIPTOR.CopyToProto(now)
    before, after = public_fields(released.file), public_fields([now])
    assert before
    assert {key: after.get(key) for key in before} == before


@pytest.mark.parametrize("command", [["lint"], ["breaking", "--against", "segserve.binpb"]])
def test_buf(repo_root, command):
    buf = shutil.which("buf") or repo_root / "node_modules" / ".bin" / "buf"
    if not shutil.which(buf):
        pytest.skip("buf is not installed: npm install --no-save @bufbuild/buf@1.75.0")
    subprocess.run([str(buf), *command], cwd=repo_root / "proto", check=True)


def test_stubs_import_without_warnings():
    assert importlib.util.find_spec("segserve.generated.inference.model_config_pb2") is not None
    code = (
        "import segserve.generated.inference.grpc_service_pb2, "
        "segserve.generated.segserve.v1.segmentation_pb2"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
