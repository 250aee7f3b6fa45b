import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.compare import run_eager_outputs  # noqa: E402  same
from segserve.export.models.frozen_norm import FrozenBatchNorm2d  # noqa: E402  same
from segserve.export.models.mask_rcnn_torchvision import (  # noqa: E402  same
    MaskRcnnWidths,
    TorchvisionMaskRcnn,
    mask_rcnn_v2,
)

WIDTHS = MaskRcnnWidths((1, 1, 1, 1), stem=8, pyramid=16, fully_connected=32)


def small():
    return TorchvisionMaskRcnn(5, WIDTHS)


def test_rows(lively, pictures, check_columns) -> None:
    fed = pictures()
    columns = run_eager_outputs(lively(small), fed)
    assert check_columns(columns, fed["image_size"], 28) > 2
    assert 0 not in columns[2], "the background is no label"


def test_rows_of_v2(lively, pictures, check_columns) -> None:
    fed = pictures()
    columns = run_eager_outputs(lively(lambda: mask_rcnn_v2(5, WIDTHS)), fed)
    assert check_columns(columns, fed["image_size"], 28) > 2


@pytest.mark.parametrize("head", ["boxes", "masks"])
def test_heads_of_v2_take_a_number_of_rows_that_depends_on_the_picture(lively, head) -> None:
    class Chosen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = lively(lambda: mask_rcnn_v2(5, WIDTHS)).roi_heads

        def forward(self, pooled, keep):
            return getattr(self.heads, head)(pooled[torch.nonzero(keep)[:, 0]])

    cells = 7 if head == "boxes" else 14
    network = Chosen().eval()
    pooled = torch.randn(5, WIDTHS.pyramid, cells, cells)
    keep = torch.tensor([True, False, True, True, False])
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        network, (pooled, keep), dynamic_shapes=({0: rows}, {0: rows})
    ).module()
    for chosen in (keep, ~keep):
        torch.testing.assert_close(program(pooled, chosen), network(pooled, chosen))


def test_norms_of_v2_are_batch_norms_of_the_checkpoint(lively) -> None:
    norm = lively(lambda: mask_rcnn_v2(5, WIDTHS)).roi_heads.mask_head[0][1]
    rows = torch.randn(3, WIDTHS.pyramid, 4, 4)
    statistics = norm.running_mean, norm.running_var
    expected = torch.nn.functional.batch_norm(rows, *statistics, norm.weight, norm.bias)
    torch.testing.assert_close(norm(rows), expected)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("build", [small, lambda: mask_rcnn_v2(5, WIDTHS)], ids=["v1", "v2"])
def test_onnx(lively, check_graph, build) -> None:
    check_graph(lively(build), find_recipe("torchvision_maskrcnn_resnet50_fpn"))


def test_published_and_trained_checkpoints() -> None:
    def eps(model):
        return {m.eps for m in model.modules() if isinstance(m, FrozenBatchNorm2d)}

    model = small()
    published = model.state_dict()
    assert model.adapt_checkpoint(published) == published
    assert eps(model) == {0.0}
    trained = {**published, "backbone.body.bn1.num_batches_tracked": torch.tensor(7)}
    assert set(model.adapt_checkpoint(trained)) == set(published)
    assert eps(model) == {1e-5}
    second = mask_rcnn_v2(5, WIDTHS)
    assert eps(second) == set()
    assert second.adapt_checkpoint(trained) == trained


@pytest.mark.timeout(600)
def test_torchscript(lively, check_torchscript) -> None:
    check_torchscript(lively(small), find_recipe("torchvision_maskrcnn_resnet50_fpn"))
