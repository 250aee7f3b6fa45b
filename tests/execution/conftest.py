"""Small ONNX models."""

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def write_graph(tmp_path):
    """Writes a one-node model: ``write_graph("Relu", FLOAT, ["n", 3])`` gives its path."""

    def write(operator, dtype=TensorProto.FLOAT, shape=("n", 3), *, output=None, **attributes):
        y = output or helper.make_tensor_value_info("y", dtype, None)
        graph = helper.make_graph(
            [helper.make_node(operator, ["x"], ["y"], **attributes)],
            "g",
            [helper.make_tensor_value_info("x", dtype, list(shape))],
            [y],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / f"{operator}.onnx"
        onnx.save(model, path)
        return path

    return write
