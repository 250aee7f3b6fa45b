import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.compare import run_eager_outputs  # noqa: E402  same
from segserve.export.models.detectron2_rcnn import RcnnWidths  # noqa: E402  same
from segserve.export.models.pointrend_instance import (  # noqa: E402  same
    PointRendInstance,
    PointRendMaskHead,
)

WIDTHS = RcnnWidths((1, 1, 1, 1), stem=8, pyramid=16, fully_connected=32)


def small():
    return PointRendInstance(4, WIDTHS)


def test_rows(lively, pictures, check_columns) -> None:
    fed = pictures(1)
    columns = run_eager_outputs(lively(small), fed)
    assert check_columns(columns, fed["image_size"], 224) > 1


def test_a_mask_that_is_sure_everywhere_is_only_enlarged() -> None:
    head = PointRendMaskHead(WIDTHS, 2)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.point_head.predictor.bias.copy_(torch.tensor([-3.0, 3.0]))
        rois = torch.tensor([[0, 0.0, 0, 30, 30]] * 2)
        masks = head(torch.rand(1, 16, 20, 20), rois, torch.tensor([0, 1]))
    assert masks.shape == (2, 224, 224)
    assert masks.unique().tolist() == [-3, 3]
    assert masks[:, 0, 0].tolist() == [-3, 3]


def test_older_names_of_the_coarse_head() -> None:
    model = small()
    old = {
        key.replace("coarse_head.fc", "coarse_head.coarse_mask_fc"): value
        for key, value in model.state_dict().items()
    }
    assert set(old) != set(model.state_dict())
    assert set(model.adapt_checkpoint(old)) == set(model.state_dict())


@pytest.mark.timeout(600)
def test_onnx(lively, check_graph) -> None:
    check_graph(lively(small), find_recipe("pointrend_rcnn_r50_fpn"))


@pytest.mark.timeout(600)
def test_torchscript(lively, check_torchscript) -> None:
    check_torchscript(lively(small), find_recipe("pointrend_rcnn_r50_fpn"))
