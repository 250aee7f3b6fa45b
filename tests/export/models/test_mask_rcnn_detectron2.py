import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.compare import run_eager_outputs  # noqa: E402  same
from segserve.export.models.detectron2_rcnn import RcnnWidths  # noqa: E402  same
from segserve.export.models.mask_rcnn_detectron2 import (  # noqa: E402  same
    ConvUpsampleMaskHead,
    Detectron2MaskRcnn,
)

WIDTHS = RcnnWidths((1, 1, 1, 1), stem=8, pyramid=16, fully_connected=32)


def test_rows(lively, pictures, check_columns) -> None:
    fed = pictures()
    columns = run_eager_outputs(lively(lambda: Detectron2MaskRcnn(4, WIDTHS)), fed)
    assert check_columns(columns, fed["image_size"], 28) > 2


def test_the_mask_head_doubles_the_size() -> None:
    head = ConvUpsampleMaskHead(8, 3)
    assert head(torch.zeros(2, 8, 14, 14)).shape == (2, 3, 28, 28)
    names = {"mask_fcn1", "mask_fcn2", "mask_fcn3", "mask_fcn4", "deconv", "predictor"}
    assert {name.split(".")[0] for name in head.state_dict()} == names


@pytest.mark.timeout(600)
def test_onnx(lively, check_graph) -> None:
    check_graph(lively(lambda: Detectron2MaskRcnn(4, WIDTHS)), find_recipe("mask_rcnn_r50_fpn"))


@pytest.mark.timeout(600)
def test_torchscript(lively, check_torchscript) -> None:
    check_torchscript(
        lively(lambda: Detectron2MaskRcnn(4, WIDTHS)), find_recipe("mask_rcnn_r50_fpn")
    )
