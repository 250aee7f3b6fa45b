import math

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.boxes import (  # noqa: E402  after the skip
    DeltaWeights,
    cell_anchors,
    clip,
    decode,
    grid_anchors,
)


def test_anchors_of_one_area() -> None:
    anchors = cell_anchors(32.0, (0.25, 1.0, 4.0))
    assert anchors.tolist() == [[-32, -8, 32, 8], [-16, -16, 16, 16], [-8, -32, 8, 32]]


def test_anchors_go_row_by_row_with_those_of_a_position_together() -> None:
    cells = torch.tensor([[-1.0, -1, 1, 1], [-2, -2, 2, 2]])
    grid = grid_anchors(cells, 2, 2, (10, 20))
    assert grid.shape == (8, 4)
    assert grid[:3].tolist() == [[-1, -1, 1, 1], [-2, -2, 2, 2], [19, -1, 21, 1]]
    assert grid[-1].tolist() == [18, 8, 22, 12]


def test_decode_moves_and_stretches() -> None:
    box = torch.tensor([[10.0, 20, 30, 40]])
    assert decode(torch.zeros(1, 4), box, DeltaWeights()).tolist() == box.tolist()
    deltas = torch.tensor([[5.0, -10, math.log(2) * 5, 0]])
    moved = decode(deltas, box, DeltaWeights(10.0, 5.0))
    assert moved[0].tolist() == pytest.approx([10, 0, 50, 20])


def test_growth_has_a_limit() -> None:
    grown = decode(torch.full((1, 4), 50.0), torch.tensor([[0.0, 0, 16, 16]]), DeltaWeights())
    assert (grown[0, 2] - grown[0, 0]).item() == pytest.approx(1000, rel=1e-5)


def test_clip_is_to_each_pictures_own_size() -> None:
    boxes = torch.tensor([[-5.0, -5, 500, 500]]).repeat(2, 1, 1)
    sizes = torch.tensor([[100.0, 200], [300, 50]])
    assert clip(boxes, sizes)[:, 0].tolist() == [[0, 0, 200, 100], [0, 0, 50, 300]]
    assert clip(boxes[:, :, None], sizes).shape == (2, 1, 1, 4)
