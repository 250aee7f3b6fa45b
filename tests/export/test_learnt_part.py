"""What is learnt in a graph, and what chooses among it."""

import pytest

onnx = pytest.importorskip("onnx", reason="needs the export extra: make export-env")

from segserve.export.learnt_part import learnt_part  # noqa: E402  after the skip


def test_a_graph_that_chooses_nothing_is_learnt_whole(slim_graph: bytes) -> None:
    model = onnx.load_from_string(slim_graph)
    part = learnt_part(model)
    assert part.nodes == {node.name for node in model.graph.node}
    assert not part.last
    assert not part.others


def test_layers_and_what_lies_between_them(choosing_graph: bytes) -> None:
    part = learnt_part(onnx.load_from_string(choosing_graph))
    assert part.nodes == {"c1", "relu", "predictor", "fc", "fc_relu", "masks"}
    assert part.last == {"predictor", "masks"}
    assert {"pad", "best", "boxes", "gather", "turn"} <= part.others
    assert not part.nodes & part.others


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("mask_rcnn_demo", {"NonMaxSuppression", "TopK", "RoiAlign", "Softmax", "Exp", "Sigmoid"}),
        ("yolact_demo", {"TopK", "Softmax", "Exp", "Tanh"}),
        ("solov2_demo", {"TopK", "NonZero", "Sigmoid"}),
        ("pointrend_semantic_demo", {"TopK", "GridSample"}),
    ],
)
def test_bundled_models(repo_root, name: str, outside: set[str]) -> None:
    model = onnx.load(repo_root / "model_repository" / name / "1" / "model.onnx")
    part = learnt_part(model)
    inside = {node.op_type for node in model.graph.node if node.name in part.nodes}
    assert "Conv" in inside
    assert not outside & inside
    assert outside <= {node.op_type for node in model.graph.node if node.name in part.others}
    convolutions = {node.name for node in model.graph.node if node.op_type == "Conv"}
    assert convolutions <= part.nodes
    assert part.last < part.nodes
