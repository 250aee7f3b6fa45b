"""One small network, exported once."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def slim():
    """The demo network with fixed random weights, in evaluation mode."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    from segserve.export.models.deeplabv3plus import deeplabv3plus

    with torch.random.fork_rng():
        torch.manual_seed(7)
        return deeplabv3plus("resnet_slim", 7).eval()


@pytest.fixture(scope="session")
def slim_graph(slim) -> bytes:
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.catalogue import find_recipe
    from segserve.export.to_onnx import to_onnx

    return to_onnx(slim, find_recipe("deeplabv3plus_demo"))


@pytest.fixture
def slim_checkpoint(slim, tmp_path: Path) -> Path:
    import torch

    path = tmp_path / "slim.pth"
    torch.save({"model_state": slim.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def choosing_graph() -> bytes:
    """A small detector: two layers, the best 2 of 12 cells, two layers on what is pooled there.

    ``scores`` are padded with minus infinity; ``boxes`` are x and y of the best cells in the
    picture's pixels, of which ``image_size`` may have more than float16 counts.
    """
    onnx = pytest.importorskip("onnx", reason="needs the export extra: make export-env")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def weight(name, shape):
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    def constant(name, values, dtype):
        return numpy_helper.from_array(np.array(values, dtype), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="predictor"),
        helper.make_node("Reshape", ["c", "flat"], ["logits"], name="flatten"),
        helper.make_node("Concat", ["logits", "nothing"], ["padded"], name="pad", axis=1),
        helper.make_node("TopK", ["padded", "two"], ["scores", "cells"], name="best", axis=1),
        helper.make_node("Cast", ["cells"], ["at"], name="at", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["at", "image_size"], ["boxes"], name="boxes"),
        helper.make_node("Unsqueeze", ["cells", "one"], ["rows"], name="rows"),
        helper.make_node("Expand", ["rows", "eight"], ["index"], name="index"),
        helper.make_node("Reshape", ["b", "columns"], ["table"], name="table"),
        helper.make_node("Transpose", ["table"], ["turned"], name="turn", perm=[0, 2, 1]),
        helper.make_node("GatherElements", ["turned", "index"], ["pooled"], name="gather", axis=1),
        helper.make_node("MatMul", ["pooled", "w3"], ["d"], name="fc"),
        helper.make_node("Relu", ["d"], ["e"], name="fc_relu"),
        helper.make_node("MatMul", ["e", "w4"], ["masks"], name="masks"),
    ]
    tensors = [
        weight("w1", (8, 3, 3, 3)),
        weight("w2", (1, 8, 1, 1)),
        weight("w3", (8, 6)),
        weight("w4", (6, 5)),
        constant("flat", [1, 12], np.int64),
        constant("columns", [1, 8, 12], np.int64),
        constant("nothing", [[-np.inf, -np.inf]], np.float32),
        constant("two", [2], np.int64),
        constant("one", [2], np.int64),
        constant("eight", [1, 2, 8], np.int64),
    ]
    shapes = {
        "image": [1, 3, 3, 4],
        "image_size": [1, 1],
        "scores": [1, 2],
        "boxes": [1, 2],
        "masks": [1, 2, 5],
    }
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    proto = helper.make_graph(nodes, "g", ends[:2], ends[2:], tensors)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data
