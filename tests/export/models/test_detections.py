import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detections import (  # noqa: E402  after the skip
    DetectionRule,
    LevelRule,
    levels_of,
    rows_of,
    scatter_rows,
    select,
    true_rows,
    valid_count,
)

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])


def chosen(scores, **rule):
    """Both classes at the same boxes."""
    boxes = BOXES[None, :, None].expand(1, -1, 2, -1)
    return select(boxes, torch.tensor(scores)[None], DetectionRule(**rule), first_label=1)


def test_suppression_is_within_classes() -> None:
    got = chosen([[0.9, 0.1], [0.8, 0.7], [0.3, 0.05]], kept=6)
    assert got.scores[0].tolist() == pytest.approx([0.9, 0.7, 0.3, 0, 0, 0])
    assert got.labels[0].tolist() == [1, 2, 1, -1, -1, -1]
    assert got.valid[0].tolist() == [True] * 3 + [False] * 3
    assert got.boxes[0, :4].tolist() == [*BOXES.tolist(), [0] * 4]
    assert all(a is b for a, b in zip(got.columns[:3], got[:3], strict=True))
    assert got.columns[3].tolist() == [3]


def test_valid_rows_are_counted_for_each_image() -> None:
    valid = torch.tensor([[True, True, False], [False] * 3, [True] * 3])
    count = valid_count(valid)
    assert (count.tolist(), count.dtype) == ([2, 0, 3], torch.int64)
    assert valid_count(valid[:, :0]).tolist() == [0, 0, 0]


def test_the_threshold_itself_is_not_enough_and_the_cap_holds() -> None:
    got = chosen([[0.5, 0.0], [0.0, 0.0], [0.6, 0.7]], score_threshold=0.5, kept=1)
    assert got.scores[0].tolist() == pytest.approx([0.7])
    assert chosen([[0.5, 0.0]] + [[0.0, 0.0]] * 2, score_threshold=0.5, kept=1).valid.sum() == 0


def test_a_shortest_side() -> None:
    scores = [[0.9, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert chosen(scores, min_side_px=10.0, kept=2).valid.sum() == 1
    assert chosen(scores, min_side_px=10.5, kept=2).valid.sum() == 0


def test_rows_out_and_back() -> None:
    valid = torch.tensor([[True, False], [False, True]])
    boxes = torch.arange(16.0).reshape(2, 2, 4)
    rows = true_rows(valid)
    assert rows.tolist() == [0, 3]
    assert rows_of(boxes, rows).tolist() == [[0, 0, 1, 2, 3], [1, 12, 13, 14, 15]]
    back = scatter_rows(boxes.reshape(-1, 4)[rows], rows, valid)
    assert torch.equal(back, boxes * valid[..., None])
    assert scatter_rows(torch.zeros(0, 3), rows[:0], valid).shape == (2, 2, 3)


def test_levels_by_size() -> None:
    sides = torch.tensor([1.0, 111, 112, 223, 224, 448, 5000])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    assert levels_of(boxes, LevelRule(4)).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert levels_of(torch.zeros(1, 4), LevelRule(4)).tolist() == [0]
    near = torch.tensor([[0.0, 0, 223.99995, 223.99995]])
    assert levels_of(near, LevelRule(4, level_epsilon=1e-6)).tolist() == [2]
