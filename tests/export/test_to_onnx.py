import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

import onnx  # noqa: E402  after the skip

from segserve.core.errors import BackendFailed  # noqa: E402  same
from segserve.core.tensor import DataType, TensorSpec  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.compare import compare, run_graph  # noqa: E402  same
from segserve.export.to_onnx import OPSET, to_onnx  # noqa: E402  same

DEMO = find_recipe("deeplabv3plus_demo")


def test_names_types_and_free_axes(slim_graph: bytes) -> None:
    graph = onnx.load_from_string(slim_graph).graph
    described = {
        t.name: (t.type.tensor_type.elem_type, [
            d.dim_param or d.dim_value for d in t.type.tensor_type.shape.dim
        ])
        for t in (*graph.input, *graph.output)
    }  # fmt: skip
    assert described == {
        "image": (onnx.TensorProto.FLOAT, ["batch", 3, "height", "width"]),
        "logits": (onnx.TensorProto.FLOAT, ["batch", 7, "logits_height", "logits_width"]),
    }


def test_standard_operators_and_weights_inside(slim_graph: bytes) -> None:
    model = onnx.load_from_string(slim_graph)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert {n.domain for n in model.graph.node} <= {"", "ai.onnx"}
    assert not any(t.external_data for t in model.graph.initializer)
    assert len(slim_graph) < 5_000_000


def test_batch_norms_are_folded_and_nothing_names_this_machine(slim_graph: bytes) -> None:
    assert "BatchNormalization" not in {
        n.op_type for n in onnx.load_from_string(slim_graph).graph.node
    }
    assert b"stack_trace" not in slim_graph
    assert b".py" not in slim_graph


@pytest.mark.parametrize("shape", [(1, 3, 75, 101), (3, 3, 64, 48), (1, 3, 17, 33)])
def test_other_sizes_compute_what_the_network_does(slim, slim_graph: bytes, shape) -> None:
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    comparison = compare(slim, slim_graph, {"image": image})
    assert comparison.max_error_std < 1e-4


def test_batch_rows_do_not_see_each_other(slim_graph: bytes) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 48, 64)).astype(np.float32)
    both = run_graph(slim_graph, {"image": images})
    np.testing.assert_allclose(both[1:], run_graph(slim_graph, {"image": images[1:]}), atol=1e-5)


def test_a_recipe_that_names_other_tensors_is_refused() -> None:
    class Wrong:
        name = "wrong"

        def sample_inputs(self):
            return {"x": np.zeros((2, 1, 20, 20), np.float32)}

        def config(self):
            spec = TensorSpec("x", DataType.FP32, (1, -1, -1))
            outputs = tuple(TensorSpec(n, DataType.FP32, (1, -1, -1)) for n in self.outputs)
            return dataclasses.replace(DEMO.config(), inputs=(spec,), outputs=outputs)

    wrong = Wrong()
    wrong.outputs = ("a",)
    network = torch.nn.Conv2d(1, 1, 1).train()
    assert to_onnx(network, wrong) == to_onnx(network, wrong)
    assert network.training, "the mode is given back"

    class Twice(torch.nn.Module):
        def forward(self, x):
            return x + 1, x * 2

    with pytest.raises(BackendFailed, match="wrong has tensors"):
        to_onnx(Twice(), wrong)
