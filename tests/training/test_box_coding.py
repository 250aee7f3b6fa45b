import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.boxes import DeltaWeights, decode  # noqa: E402
from segserve.training.box_coding import encode, offset_loss  # noqa: E402


def test_offsets_typed_out() -> None:
    reference = torch.tensor([[0.0, 0, 10, 20]])
    box = torch.tensor([[10.0, 5, 20, 15]])  # one width to the right, half as high, same centre
    wanted = [[10.0, 0.0, 0.0, 5 * -0.6931472]]
    assert encode(box, reference, DeltaWeights(10, 5)).tolist() == [pytest.approx(wanted[0])]


def test_decoding_gives_the_boxes_back() -> None:
    corners = torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(1)) * 50
    boxes, references = torch.cat([corners, corners + 3 + corners.flip(2)], dim=2)
    weights = DeltaWeights(10, 5)
    again = decode(encode(boxes, references, weights), references, weights)
    torch.testing.assert_close(again, boxes, atol=1e-3, rtol=1e-4)


def test_the_loss_is_a_sum_and_bends_at_a_ninth() -> None:
    offsets = torch.tensor([[0.0, 1.0, 0.0, -2.0]])
    assert offset_loss(offsets, offsets) == 0
    assert offset_loss(offsets, torch.zeros(1, 4)).item() == pytest.approx(3 - 2 / 18)
