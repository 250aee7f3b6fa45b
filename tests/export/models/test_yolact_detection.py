"""Fast NMS, on boxes typed out."""

import pytest

torch = pytest.importorskip("torch")

from segserve.export.models.yolact_detection import (  # noqa: E402  after the skip
    FastNms,
    FastNmsRule,
    decoded,
    overlaps,
)

PRIORS = torch.tensor(
    [[0.2, 0.2, 0.2, 0.2], [0.22, 0.2, 0.2, 0.2], [0.24, 0.2, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]]
)


def detect(confidence: list[list[float]], **rule: object):
    offsets = torch.zeros(1, 4, 4)
    coefficients = torch.arange(8.0).reshape(1, 4, 2)
    nms = FastNms(FastNmsRule(**{"rows": 5, **rule}))
    boxes, scores, labels, valid, chosen = nms(
        offsets, torch.tensor([confidence]), coefficients, PRIORS
    )
    count = int(valid.sum())
    assert not scores[0, count:].any()
    assert (labels[0, count:] == -1).all()
    assert not boxes[0, count:].any()
    return (
        [round(float(score), 3) for score in scores[0, :count]],
        labels[0, :count].tolist(),
        [int(c[0]) // 2 for c in chosen[0, :count]],
    )


def test_boxes_are_decoded_with_the_variances() -> None:
    offsets = torch.tensor([[[1.0, -1.0, 0.0, 0.0]]])
    box = decoded(offsets, torch.tensor([[0.5, 0.5, 0.2, 0.4]]))
    assert box[0, 0].tolist() == pytest.approx([0.42, 0.26, 0.62, 0.66])
    wide = decoded(torch.tensor([[[0.0, 0.0, 5 * 0.6931472, 0.0]]]), PRIORS[:1])
    assert (wide[0, 0, 2] - wide[0, 0, 0]).item() == pytest.approx(0.4)


def test_overlaps_of_all_pairs() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]
    assert torch.allclose(overlaps(boxes), torch.tensor(expected))


def test_a_fallen_box_still_suppresses() -> None:
    """Box 1 falls by box 0 (IoU 0.82), and box 2, which only box 1 overlaps enough, by box 1."""
    rows = [[0, 0.9], [0, 0.8], [0, 0.7], [0, 0.6]]
    assert detect(rows, iou_threshold=0.7) == ([0.9, 0.6], [0, 0], [0, 3])


def test_priors_below_the_threshold_take_no_part() -> None:
    rows = [[0, 0.04], [0, 0.8], [0, 0.03], [0, 0.05]]
    assert detect(rows) == ([0.8], [0], [1])


def test_low_classes_of_a_kept_prior_survive() -> None:
    rows = [[0, 0.9, 0.001], [0, 0, 0], [0, 0, 0], [0, 0.02, 0.3]]
    scores, labels, boxes = detect(rows)
    assert (scores, labels, boxes) == ([0.9, 0.3, 0.02, 0.001], [0, 1, 0, 1], [0, 3, 3, 0])


def test_the_best_rows_leave() -> None:
    rows = [[0, 0.9], [0, 0.1], [0, 0.1], [0, 0.6]]
    assert detect(rows, rows=1)[0] == [0.9]


def test_across_classes_a_prior_counts_once() -> None:
    rows = [[0, 0.9, 0.8], [0, 0.1, 0.7], [0, 0, 0], [0, 0.2, 0.3]]
    assert detect(rows, cross_class=True) == ([0.9, 0.3], [0, 1], [0, 3])


def test_nothing_found() -> None:
    assert detect([[1.0, 0.0]] * 4) == ([], [], [])
