import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.proposals import (  # noqa: E402  after the skip
    DROPPED,
    ProposalRule,
    has_sides,
    propose,
    take,
    top,
)

SIZE = torch.tensor([[40.0, 40.0]])


def proposals(logits, boxes, rule):
    """One level of one row of boxes, not moved."""
    maps = torch.tensor(logits)[None, None, None]
    deltas = torch.zeros(1, 4, 1, len(logits))
    return propose([maps], [deltas], [torch.tensor(boxes)], SIZE, rule)


def test_the_best_without_near_duplicates() -> None:
    boxes = [[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]
    got = proposals([1.0, 3.0, -2.0], boxes, ProposalRule(per_level=5, kept=4))
    assert got.boxes[0].tolist() == [boxes[1], boxes[2], [0] * 4, [0] * 4]
    assert got.logits[0].tolist() == [3, -2, DROPPED, DROPPED]
    assert got.valid[0].tolist() == [True, True, False, False]


def test_few_per_level_are_looked_at() -> None:
    boxes = [[0.0, 0, 5, 5], [10, 0, 15, 5], [20, 0, 25, 5]]
    got = proposals([1.0, 2.0, 3.0], boxes, ProposalRule(per_level=2, kept=3))
    assert got.logits[0].tolist() == [3, 2, DROPPED]


def test_boxes_are_clipped_and_empty_ones_dropped() -> None:
    boxes = [[30.0, 30, 60, 60], [50, 0, 60, 10], [1, 1, 1.5, 9]]
    got = proposals([1.0, 9.0, 8.0], boxes, ProposalRule(per_level=3, kept=2, min_side_px=1.0))
    assert got.boxes[0].tolist() == [[30, 30, 40, 40], [0] * 4]


def test_levels_do_not_suppress_each_other() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    maps, deltas = torch.tensor([[[[1.0]]]]), torch.zeros(1, 4, 1, 1)
    rule = ProposalRule(per_level=2, kept=2)
    got = propose([maps, maps + 1], [deltas] * 2, [box] * 2, SIZE, rule)
    assert got.logits[0].tolist() == [2, 1]


def test_offsets_belong_to_their_anchor() -> None:
    deltas = torch.zeros(1, 8, 1, 2)
    deltas[0, 4, 0, 1] = 0.5  # second anchor, second position, dx
    anchors = torch.tensor([[0.0, 0, 10, 10]] * 4)
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, 5.0]]]])
    rule = ProposalRule(per_level=1, kept=1)
    assert propose([logits], [deltas], [anchors], SIZE, rule).boxes[0, 0].tolist() == [5, 0, 15, 10]


def test_top_and_take() -> None:
    best, index = top(torch.tensor([[1.0, 5.0]]), 3)
    assert best.tolist() == [[5, 1, DROPPED]]
    assert index.max() < 2
    assert take(torch.tensor([[[1.0, 2], [3, 4]]]), index)[0, :2].tolist() == [[3, 4], [1, 2]]


def test_sides() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 5], [0, 0, 0.5, 5]])
    assert has_sides(boxes, 0.0).tolist() == [True, False, True]
    assert has_sides(boxes, 1.0).tolist() == [True, False, False]
