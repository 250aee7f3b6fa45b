"""Small models for a real server, and a way to ask it."""

from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


def write_identity(folder: Path, name="identity", version=1, *, dims=(-1,), scale=1.0):
    """A model that gives its FP32 input times `scale`; a scale tells versions apart."""
    shape = ["n", *(f"d{i}" if d < 0 else d for i, d in enumerate(dims))]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "scale"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [scale])],
    )
    return write_model(folder, name, version, graph)


def write_slow(folder: Path, name="slow", *, size=256, rounds=200):
    """A model that burns some tens of milliseconds per run: a chain of matrix products."""
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", "w"], [f"h{i + 1}"])
        for i in range(rounds)
    ]
    nodes.append(helper.make_node("Identity", [f"h{rounds}"], ["y"]))
    shape = ["n", size, size]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor(
                "w", TensorProto.FLOAT, [size, size], np.eye(size, dtype=np.float32).ravel()
            )
        ],
    )
    return write_model(folder, name, 1, graph)


def write_model(folder: Path, name, version, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / name / str(version)
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    return folder / name


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def models():
    """The writers of small models."""

    class Writers:
        identity = staticmethod(write_identity)
        slow = staticmethod(write_slow)

    return Writers


def infer_json(server, model, data, shape, *, version="", timeout_s=30, **parameters):
    """A JSON inference; gives the response."""
    url = f"{server.http}/v2/models/{model}{version and f'/versions/{version}'}/infer"
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": list(shape), "data": list(data)}],
        "parameters": parameters,
    }
    return httpx.post(url, json=body, timeout=timeout_s)


@pytest.fixture
def infer():
    return infer_json
