"""Half precision and 8 bits of a small network: near the float32 graph, with its borders."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import AlreadyExists, InvalidInput, NotFound
from segserve.core.tensor import DataType, TensorSpec
from segserve.export.compare import run_graph, run_graph_outputs
from segserve.export.precision import (
    HALF,
    INT8,
    compare_graphs,
    convert_model,
    read_model,
    to_half,
    to_int8,
)
from segserve.export.recipe import ExportConfig
from segserve.export.write import write_model

CONFIG = ExportConfig(
    inputs=(TensorSpec("image", DataType.FP32, (3, -1, -1)),),
    outputs=(TensorSpec("logits", DataType.FP32, (4, -1, -1)),),
    max_batch_size=4,
    parameters={"family": "semantic"},
    labels=("a", "b", "c", "d"),
)
RNG = np.random.default_rng(0)
SAMPLES = [{"image": RNG.standard_normal((1, 3, 16, 24), np.float32)} for _ in range(8)]


def weight(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), name)


@pytest.fixture(scope="module")
def graph() -> bytes:
    """Two convolutions and what reads the input's shape, as exported graphs have it."""
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"], name="s"),
        helper.make_node("Conv", ["image", "w1"], ["a"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="r"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="c2"),
        helper.make_node("Gather", ["shape", "batch"], ["n"], name="g"),
        helper.make_node("Concat", ["n", "rest"], ["size"], name="j", axis=0),
        helper.make_node("Expand", ["c", "size"], ["logits"], name="e"),
    ]
    weights = [
        weight("w1", (8, 3, 3, 3)),
        weight("w2", (4, 8, 1, 1)),
        numpy_helper.from_array(np.array([0]), "batch"),
        numpy_helper.from_array(np.array([1, 1, 1]), "rest"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name, channels in (("image", 3), ("logits", 4))
    ]
    proto = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(proto, opset_imports=opset, ir_version=9).SerializeToString()


def types_of(graph: bytes) -> set[int]:
    return {tensor.data_type for tensor in onnx.load_from_string(graph).graph.initializer}


def test_half_precision_keeps_float32_borders(graph: bytes) -> None:
    half = to_half(graph)
    assert TensorProto.FLOAT16 in types_of(half)
    assert TensorProto.FLOAT not in types_of(half)
    assert run_graph(half, SAMPLES[0]).dtype == np.float32
    found = compare_graphs(half, graph, SAMPLES)
    assert 0 < found.max_error_std < 1e-2
    assert found.label_agreement > 0.99


def test_eight_bits(graph: bytes) -> None:
    small = to_int8(graph, SAMPLES[:6])
    assert {TensorProto.INT8, TensorProto.UINT8} <= types_of(small)
    nodes = {node.op_type for node in onnx.load_from_string(small).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= nodes
    found = compare_graphs(small, graph, SAMPLES[6:])
    assert 1e-4 < found.rms_error_std < 0.1
    assert found.label_agreement > 0.9


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_eight_bits_of_a_graph_that_chooses(choosing_graph: bytes) -> None:
    rng = np.random.default_rng(2)
    samples = [
        {
            "image": rng.standard_normal((1, 3, 3, 4)).astype(np.float32),
            "image_size": np.full((1, 1), 4001.0, np.float32),
        }
        for _ in range(9)
    ]
    small = to_int8(choosing_graph, samples[:8])
    model = onnx.load_from_string(small)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    read = {node.name: made.get(node.input[0]) for node in model.graph.node}
    assert (read["c1"], read["fc"]) == ("DequantizeLinear", "DequantizeLinear")
    assert read["best"] == "Concat", "minus infinity has no 8 bits"
    assert {node.name for node in model.graph.node} >= {"predictor", "masks"}
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert weights["w2"] == weights["w4"] == TensorProto.FLOAT, "last layers stay float32"
    got, expected = (run_graph_outputs(g, samples[8]) for g in (small, choosing_graph))
    np.testing.assert_allclose(got["scores"], expected["scores"], rtol=0.1, atol=0.1)


def test_eight_bits_need_pictures(graph: bytes) -> None:
    with pytest.raises(InvalidInput, match="no calibration images"):
        to_int8(graph, [])


@pytest.mark.parametrize("precision", [HALF, INT8])
def test_a_model_is_converted_with_all_that_stands_beside_it(
    tmp_path, graph: bytes, precision: str
) -> None:
    source = write_model(tmp_path, "m", graph, CONFIG)
    done = convert_model(source, tmp_path / "small", precision, SAMPLES, overwrite=False)
    assert done.graph_bytes == (done.path / "1" / "model.onnx").stat().st_size
    assert done.comparison.label_agreement > 0.9
    converted, config = read_model(done.path)
    assert converted != graph
    assert config == CONFIG
    assert (source / "1" / "model.onnx").read_bytes() == graph


def test_what_cannot_be_converted(tmp_path, graph: bytes) -> None:
    source = write_model(tmp_path, "m", graph, CONFIG)
    with pytest.raises(AlreadyExists, match="--overwrite"):
        convert_model(source, source, HALF, SAMPLES, overwrite=False)
    with pytest.raises(NotFound, match=r"config\.pbtxt is not there"):
        convert_model(tmp_path / "x", tmp_path / "y", HALF, SAMPLES, overwrite=False)
    with pytest.raises(InvalidInput, match="no images to compare on"):
        convert_model(source, tmp_path / "y", HALF, [], overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
