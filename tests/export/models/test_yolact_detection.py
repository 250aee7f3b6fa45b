"""Fast NMS, on boxes typed out."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

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
    count = int(valid)
    assert valid.shape == (1,)
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


def random_scene(count: int = 60, classes: int = 4):
    """Many overlapping boxes."""
    generator = torch.Generator().manual_seed(7)
    sides = torch.rand(count, 2, generator=generator) * 0.4 + 0.1
    priors = torch.cat([torch.rand(count, 2, generator=generator), sides], dim=1)
    logits = torch.randn(1, count, classes + 1, generator=generator) * 3
    logits[..., 0] += 3
    offsets = torch.randn(1, count, 4, generator=generator)
    coefficients = torch.randn(1, count, 3, generator=generator)
    return offsets, logits.softmax(-1), coefficients, priors


def survivors(ranked, overlap, threshold: float) -> list[int]:
    """Keep what no better one overlaps, fallen ones included."""
    return [
        prior
        for i, prior in enumerate(ranked)
        if all(float(overlap[prior, better]) <= threshold for better in ranked[:i])
    ]


def by_loop(overlap, scores, rule: FastNmsRule) -> list[tuple[float, int, int]]:
    """Give (score, label, prior), best first, class by class as the original describes it."""
    alive = [p for p in range(len(scores)) if float(scores[p].max()) > rule.score_threshold]
    found = []
    if rule.cross_class:
        ranked = sorted(alive, key=lambda p: -float(scores[p].max()))[: rule.candidates]
        kept = survivors(ranked, overlap, rule.iou_threshold)
        found = [(float(scores[p].max()), int(scores[p].argmax()), p) for p in kept]
    else:
        for label in range(scores.shape[1]):
            ranked = sorted(alive, key=lambda p: -float(scores[p, label]))[: rule.candidates]
            kept = survivors(ranked, overlap, rule.iou_threshold)
            found += [(float(scores[p, label]), label, p) for p in kept]
    return sorted(found, reverse=True)[: rule.rows]


@pytest.mark.parametrize("cross_class", [False, True])
@pytest.mark.parametrize(("candidates", "rows"), [(200, 500), (200, 15), (8, 100)])
def test_it_gives_what_a_loop_gives_in_fixed_rows(
    cross_class: bool, candidates: int, rows: int
) -> None:
    rule = FastNmsRule(0.3, 0.3, candidates, rows, cross_class)
    offsets, confidence, coefficients, priors = random_scene()
    got = FastNms(rule)(offsets, confidence, coefficients, priors)
    valid = got[3]
    boxes, scores, labels, chosen = (got[i][0] for i in (0, 1, 2, 4))
    all_boxes = decoded(offsets, priors)[0]
    expected = by_loop(overlaps(all_boxes), confidence[0, :, 1:], rule)
    count, index = len(expected), [prior for _, _, prior in expected]
    assert {len(column) for column in (boxes, scores, labels, chosen)} == {rows}
    assert valid.tolist() == [count]
    assert count > 5
    assert scores[:count].tolist() == [score for score, _, _ in expected]
    assert labels[:count].tolist() == [label for _, label, _ in expected]
    assert torch.equal(chosen[:count], coefficients[0, index])
    assert torch.equal(boxes[:count], all_boxes[index])
    assert set(labels[count:].tolist()) <= {-1}


def test_a_score_of_zero_is_a_row() -> None:
    scores, labels, _ = detect([[0.1, 0.9, 0.0]] + [[1.0, 0.0, 0.0]] * 3)
    assert (scores, labels) == ([0.9, 0.0], [0, 1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cross_class", [False, True])
def test_torchscript_agrees(cross_class: bool) -> None:
    nms = FastNms(FastNmsRule(rows=300, cross_class=cross_class))
    scene = random_scene()
    for ours, theirs in zip(torch.jit.script(nms)(*scene), nms(*scene), strict=True):
        assert torch.equal(ours, theirs)
