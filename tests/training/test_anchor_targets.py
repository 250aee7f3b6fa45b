"""Which anchor stands for which object."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.training.anchor_targets import assign, ious, sample  # noqa: E402

OBJECTS = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 40]])


def test_iou_of_all_pairs() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 5], [5, 5, 5, 5]])
    assert ious(OBJECTS, boxes).tolist() == [[0.5, 0], [0, 0]]


def test_thresholds_and_the_best_anchor_of_each_object() -> None:
    anchors = torch.tensor(
        [
            [0.0, 0, 10, 8],  # 0.8 of object 0
            [0, 0, 10, 5],  # 0.5
            [0, 0, 10, 2],  # 0.2
            [20, 20, 30, 24],  # 0.2 of object 1, and nothing is better
            [50, 50, 60, 60],
        ]
    )
    assert assign(anchors, OBJECTS, 0.7, 0.3).tolist() == [0, -2, -1, 1, -1]
    assert assign(anchors, OBJECTS, 0.7, 0.3, keep_best=False).tolist() == [0, -2, -1, -1, -1]


def test_an_object_that_no_anchor_touches_makes_none_its_own() -> None:
    assert assign(torch.tensor([[50.0, 50, 60, 60]]), OBJECTS, 0.7, 0.3).tolist() == [-1]


def test_nothing_to_find_is_background() -> None:
    assert assign(OBJECTS, torch.zeros(0, 4), 0.7, 0.3).tolist() == [-1, -1]


def test_the_background_fills_up_and_ignored_ones_are_never_chosen() -> None:
    assigned = torch.tensor([0, 1, 1, -2, -2] + [-1] * 9)
    objects, background = sample(assigned, 4, 0.5)
    assert len(objects) == len(background) == 2
    assert (assigned[objects] >= 0).all()
    assert (assigned[background] == -1).all()
    objects, background = sample(assigned, 100, 0.5)
    assert sorted(objects.tolist()) == [0, 1, 2]
    assert sorted(background.tolist()) == list(range(5, 14))
