"""Matching by hand: who takes whom, and what does not count."""

import numpy as np
import pytest

from segserve.evaluation.coco_match import Detection, Overlaps, Truth, match, overlaps


def found(ious, scores=None, crowd=None, truth_areas=None, areas=None):
    ious = np.array(ious, float)
    rows, columns = ious.shape
    return Overlaps(
        np.array(scores if scores is not None else np.linspace(0.9, 0.1, rows)),
        np.full(rows, 50.0) if areas is None else np.array(areas, float),
        ious,
        np.full(columns, 50.0) if truth_areas is None else np.array(truth_areas, float),
        np.array(crowd if crowd is not None else [False] * columns),
    )


def at(matches, threshold_index):
    return matches.is_right[threshold_index].tolist(), matches.is_ignored[threshold_index].tolist()


def test_the_better_score_takes_first_and_a_truth_is_taken_once():
    matches = match(found([[0.6], [0.9]]), 0, 1e10)
    assert at(matches, 0) == ([True, False], [False, False])
    assert at(matches, 5) == ([False, True], [False, False])  # 0.75
    assert matches.truths == 1


def test_each_takes_what_it_overlaps_most():
    matches = match(found([[0.6, 0.7], [0.65, 0.8]]), 0, 1e10)
    assert at(matches, 0) == ([True, True], [False, False])
    assert at(matches, 3) == ([True, True], [False, False])  # 0.65: the second is left with 0.65
    assert at(matches, 4) == ([True, False], [False, False])  # 0.70


def test_a_crowd_takes_many_and_they_count_neither_way():
    matches = match(found([[0.9], [0.8]], crowd=[True]), 0, 1e10)
    assert at(matches, 0) == ([True, True], [True, True])
    assert matches.truths == 0


def test_a_plain_truth_goes_before_a_crowd_that_overlaps_more():
    matches = match(found([[0.9, 0.6]], crowd=[True, False]), 0, 1e10)
    assert at(matches, 0) == ([True], [False])
    assert at(matches, 5) == ([True], [True])


def test_areas_out_of_range_count_neither_way():
    matches = match(found([[0.9], [0.0]], truth_areas=[500], areas=[500, 20]), 0, 100)
    assert at(matches, 0) == ([True, False], [True, False])
    assert matches.truths == 0
    matches = match(found([[0.0]], areas=[500]), 0, 100)
    assert at(matches, 0) == ([False], [True])


def test_only_the_best_hundred_are_looked_at():
    detections = [Detection(1, 1, n / 200, (0.0, 0.0, 1.0 + n, 1.0)) for n in range(150)]
    kept = overlaps([Truth(1, 1, (0.0, 0.0, 1.0, 1.0), 1.0)], detections, "box")
    assert len(kept.scores) == 100
    assert kept.scores[0] == pytest.approx(149 / 200)
    assert kept.areas[0] == 150
