"""Panoptic quality by hand, and against the panoptic API's loop written out."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.evaluation.panoptic_quality import PanopticCounts, PanopticSegment


def plain_counts(truth, predicted):
    """``pq_compute_single_core`` of panopticapi/evaluation.py; gives (category, what, amount)."""
    (gt, gt_list), (pred, pred_list) = truth, predicted

    def both(a, b):
        return int(((gt == a) & (pred == b)).sum())

    gt_matched, pred_matched = set(), set()
    for g, p in product(gt_list, pred_list):
        inter = both(g.id, p.id)
        union = (pred == p.id).sum() + (gt == g.id).sum() - inter - both(0, p.id)
        if inter and not g.is_crowd and g.category_id == p.category_id and inter / union > 0.5:
            yield g.category_id, "tp", 1
            yield g.category_id, "iou", inter / union
            gt_matched.add(g.id)
            pred_matched.add(p.id)
    crowds = {g.category_id: g.id for g in gt_list if g.is_crowd}
    for g in gt_list:
        if g.id not in gt_matched and not g.is_crowd:
            yield g.category_id, "fn", 1
    for p in pred_list:
        inter = both(0, p.id) + (
            both(crowds[p.category_id], p.id) if p.category_id in crowds else 0
        )
        if p.id not in pred_matched and not inter / (pred == p.id).sum() > 0.5:
            yield p.category_id, "fp", 1


def plain_quality(images):
    """``pq_average`` of the same file."""
    totals = defaultdict(lambda: {"iou": 0.0, "tp": 0, "fp": 0, "fn": 0})
    for truth, predicted in images:
        for category, what, amount in plain_counts(truth, predicted):
            totals[category][what] += amount
    rows = []
    for n in totals.values():
        weight = n["tp"] + 0.5 * n["fp"] + 0.5 * n["fn"]
        rows.append((n["iou"] / weight, n["iou"] / n["tp"] if n["tp"] else 0, n["tp"] / weight))
    return np.mean(rows, axis=0), len(rows)


def random_image(rng):
    """Truth in 8x8 tiles; the prediction is the same tiles, moved and relabelled here and there."""
    tiles = rng.integers(0, 7, (5, 6))
    truth = np.kron(tiles, np.ones((8, 8), int))
    predicted = np.roll(truth, rng.integers(-2, 3, 2), (0, 1)) + 10
    predicted[predicted == 10] = rng.integers(11, 17)
    category = {n: int(rng.integers(1, 5)) for n in range(7)}
    gt = [PanopticSegment(int(n), category[n], bool(rng.random() < 0.3)) for n in np.unique(tiles)]
    wrong = {n: int(rng.integers(1, 5)) if rng.random() < 0.3 else category[n] for n in range(7)}
    pred = [PanopticSegment(int(n), wrong[n - 10]) for n in np.unique(predicted)]
    return (truth, [s for s in gt if s.id]), (predicted, pred)


@pytest.mark.parametrize("seed", range(20))
def test_random_maps(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(4)]
    counts = PanopticCounts()
    for truth, predicted in images:
        counts.add(truth, predicted)
    quality = counts.quality()
    expected, categories = plain_quality(images)
    assert (quality.pq, quality.sq, quality.rq) == pytest.approx(tuple(expected), abs=1e-12)
    assert quality.categories == categories


def test_by_hand():
    """Category 1: one match of IoU 3/4; category 2: one missed, one made up."""
    truth = np.array([[1, 1, 1, 1, 2, 2, 0, 0]])
    found = np.array([[5, 5, 5, 7, 7, 7, 7, 7]])
    counts = PanopticCounts()
    counts.add(
        (truth, [PanopticSegment(1, 1), PanopticSegment(2, 2)]),
        (found, [PanopticSegment(5, 1), PanopticSegment(7, 2)]),
    )
    # Segment 7 shares 2 pixels with truth 2: union 5 + 2 - 2 - 2 void = 3, IoU 2/3, a match.
    everything = counts.quality()
    assert (everything.pq, everything.rq) == pytest.approx(((3 / 4 + 2 / 3) / 2, 1))
    assert counts.quality([1]).pq == pytest.approx(3 / 4)
    assert counts.quality([9]).categories == 0


def test_what_does_not_agree_is_refused():
    counts = PanopticCounts()
    with pytest.raises(InvalidInput, match="truth is"):
        counts.add((np.zeros((2, 2), int), []), (np.zeros((2, 3), int), []))
    with pytest.raises(InvalidInput, match=r"segments \[4\]"):
        counts.add((np.zeros((2, 2), int), []), (np.full((2, 2), 4), []))
    ghost = [PanopticSegment(3, 1)]
    with pytest.raises(InvalidInput, match=r"segments \[3\]"):
        counts.add((np.zeros((2, 2), int), []), (np.zeros((2, 2), int), ghost))
