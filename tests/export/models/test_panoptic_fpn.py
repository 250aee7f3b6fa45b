import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.compare import run_eager_outputs  # noqa: E402  same
from segserve.export.models.detectron2_rcnn import RcnnWidths  # noqa: E402  same
from segserve.export.models.panoptic_fpn import (  # noqa: E402  same
    PanopticFpn,
    SemanticHead,
    SemanticWidths,
)

WIDTHS = RcnnWidths((1, 1, 1, 1), stem=8, pyramid=16, fully_connected=32)


def small():
    return PanopticFpn(4, WIDTHS, SemanticWidths(3, 32))


def test_rows_and_logits(lively, pictures, check_columns) -> None:
    fed = pictures()
    columns = run_eager_outputs(lively(small), fed)
    assert check_columns(columns, fed["image_size"], 28) > 2
    assert columns[5].shape == (2, 3, 24, 32)


def test_names_and_depth_of_the_semantic_head() -> None:
    names = set(SemanticHead(16, 32, 3).state_dict())
    assert {"p2.0.weight", "p2.0.norm.bias", "p5.4.norm.weight", "predictor.bias"} <= names
    assert not {"p2.2.weight", "p4.4.weight", "p5.6.weight", "p2.0.bias"} & names


@pytest.mark.timeout(600)
def test_onnx(lively, check_graph) -> None:
    check_graph(lively(small), find_recipe("panoptic_fpn_r50"))


@pytest.mark.timeout(600)
def test_torchscript(lively, check_torchscript) -> None:
    check_torchscript(lively(small), find_recipe("panoptic_fpn_r50"))
