"""The claims' program: every case is measured and told, whatever the figures are."""

import json
import subprocess
import sys

import onnx
import pytest
from loadtests.claims import CLAIMS
from loadtests.coarse_graph import COARSE_WEIGHT, coarse_graph
from onnx import TensorProto, helper


def test_a_table_of_two_scenes(repo_root, tmp_path) -> None:
    out = tmp_path / "claims.json"
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.claims", "--scenes", "2", "--out", str(out)],
        cwd=repo_root,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {row["name"]: row for row in json.loads(out.read_text())}
    assert list(found) == [case.name for cases in CLAIMS.values() for case in cases]
    assert all(name in done.stdout for name in found)
    assert all(0.5 < row["boundary_iou"] < row["mean_iou"] < 1 for row in found.values())
    coarse, whole = found["PointRend without its point head"], found["PointRend"]
    assert coarse["mean_iou"] != whole["mean_iou"]


def network(weight: str) -> onnx.ModelProto:
    """x -> Conv -> doubled -> y, with a second branch that the cut makes useless."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Conv", ["a", weight], ["b"]),
        helper.make_node("Add", ["b", "b"], ["y"]),
        helper.make_node("Mul", ["a", "factor"], ["unused"]),
    ]
    weights = [
        helper.make_tensor(weight, TensorProto.FLOAT, [2, 2, 1, 1], [1.0] * 4),
        helper.make_tensor("factor", TensorProto.FLOAT, [1], [1.0]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, "h", "w"]) for name in "xy"
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_the_graph_ends_behind_the_coarse_head() -> None:
    cut = coarse_graph(network(COARSE_WEIGHT)).graph
    assert [node.op_type for node in cut.node] == ["Relu", "Conv", "Identity"]
    assert [tensor.name for tensor in cut.initializer] == [COARSE_WEIGHT]
    assert [output.name for output in cut.output] == ["y"]


def test_another_network_is_refused() -> None:
    with pytest.raises(RuntimeError, match="0 layers have the weight"):
        coarse_graph(network("other.weight"))
