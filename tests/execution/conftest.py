"""Small ONNX models and TorchScript programs."""

import warnings

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


@pytest.fixture
def write_program(tmp_path):
    """Writes a TorchScript program: ``write_program("def forward(self, x): ...")`` gives its path.

    Without torch the test is skipped.
    """
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

    def write(source):
        path = tmp_path / "model.pt"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`torch\.jit", category=DeprecationWarning)
            module = type("Program", (torch.jit.ScriptModule,), {})()  # a class has one forward
            module.define(f"{source}\n")
            torch.jit.save(module, str(path))
        return path

    return write
