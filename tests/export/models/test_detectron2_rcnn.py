import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detectron2_rcnn import (  # noqa: E402  after the skip
    Detectron2Rcnn,
    ProposalGenerator,
    RcnnWidths,
)

WIDTHS = RcnnWidths((1, 1, 1, 1), stem=8, pyramid=16, fully_connected=32)


def test_boxes_lie_in_the_pictures(lively, pictures) -> None:
    model = lively(lambda: Detectron2Rcnn(4, WIDTHS, torch.nn.Identity()))
    fed = [torch.from_numpy(x) for x in pictures().values()]
    with torch.inference_mode():
        pyramid, found = model.detect(*fed)
    assert [tuple(level.shape[2:]) for level in pyramid] == [
        (24, 32), (12, 16), (6, 8), (3, 4), (2, 2),
    ]  # fmt: skip
    assert found.valid.sum() > 2
    assert set(found.labels.unique().tolist()) <= {-1, 0, 1, 2, 3}
    assert (found.boxes[1, :, 2] <= fed[1][1, 1]).all()


def test_anchors_are_not_rounded() -> None:
    generator = ProposalGenerator(4)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
        generator.rpn_head.objectness_logits.bias.copy_(torch.tensor([1.0, 0, 0]))
    sizes = (torch.zeros(1, 4, 2**i, 2**i) for i in range(8, 3, -1))
    boxes = generator(list(sizes), torch.tensor([[1024.0, 1024.0]])).boxes[0]
    sides = (boxes[:, 2] - boxes[:, 0]).round(decimals=3)
    assert 45.255 in [round(v, 3) for v in sides.unique().tolist()], "32 * sqrt(2)"


def test_what_is_no_weight_is_taken_off() -> None:
    model = Detectron2Rcnn(4, WIDTHS, torch.nn.Identity())
    old = {"pixel_mean": 0, "proposal_generator.anchor_generator.cell_anchors.0": 1, "other": 2}
    assert model.adapt_checkpoint(old) == {"other": 2}
