"""Half precision for what is learnt, float32 for what looks at it."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the export extra: make export-env")
pytest.importorskip("torch", reason="needs the export extra: make export-env")

from onnx import TensorProto, numpy_helper  # noqa: E402  after the skip

from segserve.export.compare import compare_outputs, run_graph_outputs  # noqa: E402  same
from segserve.export.half import to_half  # noqa: E402  same

IMAGE = np.random.default_rng(1).standard_normal((1, 3, 3, 4)).astype(np.float32)


def test_coordinates_and_minus_infinity_stay_what_they_are(choosing_graph: bytes) -> None:
    half = to_half(choosing_graph)
    fed = {"image": IMAGE, "image_size": np.full((1, 1), 4001.0, np.float32)}
    got, expected = run_graph_outputs(half, fed), run_graph_outputs(choosing_graph, fed)
    assert np.array_equal(got["boxes"], expected["boxes"]), "float16 would count by fours"
    for name in ("scores", "masks"):
        assert got[name].dtype == np.float32
        assert not np.array_equal(got[name], expected[name]), "computed in float16"
        np.testing.assert_allclose(got[name], expected[name], rtol=0.02, atol=0.02)


def test_only_layers_have_half_weights(choosing_graph: bytes) -> None:
    weights = onnx.load_from_string(to_half(choosing_graph)).graph.initializer
    kinds = {tensor.name: tensor.data_type for tensor in weights}
    assert {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16} == {
        "w1_half", "w2_half", "w3_half", "w4_half",
    }  # fmt: skip
    assert kinds["nothing"] == TensorProto.FLOAT


def test_weights_beyond_float16_become_its_largest(choosing_graph: bytes) -> None:
    model = onnx.load_from_string(choosing_graph)
    first = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) * 1e6, "w1"))
    halved = onnx.load_from_string(to_half(model.SerializeToString())).graph.initializer
    values = numpy_helper.to_array(next(t for t in halved if t.name == "w1_half"))
    assert np.isfinite(values).all()
    assert np.abs(values).max() == np.finfo(np.float16).max


def test_an_operator_that_onnx_has_no_float16_for_stays() -> None:
    helper = onnx.helper
    nodes = [
        helper.make_node("Range", ["x0", "limit", "x1"], ["line"], name="r"),
        helper.make_node("Mul", ["line", "x1"], ["y"], name="m"),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, []) for n in ("x0", "x1")]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    limit = numpy_helper.from_array(np.float32(4.0), "limit")
    graph = helper.make_graph(nodes, "g", inputs, [output], [limit])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    half = to_half(model.SerializeToString())
    read = {n.name: list(n.input) for n in onnx.load_from_string(half).graph.node}
    assert read["r"] == ["x0", "limit", "x1"]
    assert read["m"] == ["line_half", "x1_half"]
    fed = {"x0": np.array(0, np.float32), "x1": np.array(0.5, np.float32)}
    assert run_graph_outputs(half, fed)["y"].tolist() == [n / 4 for n in range(8)]


@pytest.mark.parametrize(
    "name", ["mask_rcnn_demo", "yolact_demo", "solov2_demo", "pointrend_semantic_demo"]
)
def test_bundled_models_that_choose(repo_root, name: str) -> None:
    graph = (repo_root / "model_repository" / name / "1" / "model.onnx").read_bytes()
    half = to_half(graph)
    assert len(half) < 0.62 * len(graph)
    side = 320 if name == "yolact_demo" else 96
    image = np.random.default_rng(0).standard_normal((2, 3, side, side)).astype(np.float32)
    fed = {"image": image}
    if name == "mask_rcnn_demo":
        fed["image_size"] = np.full((2, 2), side, np.float32)
    found = compare_outputs(run_graph_outputs(half, fed), run_graph_outputs(graph, fed))
    assert found.matched > 0.7
    assert found.label_agreement > 0.99
