"""Tables and values of reports."""

import json

import numpy as np
import pytest

from segserve.evaluation.coco_ap import average_precision
from segserve.evaluation.coco_match import Detection, Truth
from segserve.evaluation.measure import InstanceReport, PanopticReport, SemanticReport
from segserve.evaluation.panoptic_quality import Quality
from segserve.evaluation.report import as_table, as_values
from segserve.evaluation.semantic import ConfusionMatrix

NAMES = {0: "background", 1: "disc", 2: "ring"}


def semantic():
    matrix = ConfusionMatrix(3)
    matrix.add(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    return SemanticReport(matrix.scores(), np.array([0.5, 0.25, np.nan]), 0.375)


def instances():
    truth = Truth(1, 1, (0.0, 0.0, 8.0, 8.0), 64.0)
    scores = average_precision([truth], [Detection(1, 1, 0.9, truth.box)], "box")
    return InstanceReport(scores, scores)


def test_semantic_table():
    lines = as_table(semantic(), NAMES).splitlines()
    columns = ["class", "IoU", "boundary", "precision", "recall", "F1", "Dice"]
    assert lines[0].split() == columns
    background = ["0.6667", "0.5000", "1.0000", "0.6667", "0.8000", "0.8000"]
    assert lines[1].split() == ["background", *background]
    assert lines[3].split() == ["ring", *"------"]
    assert lines[4:] == [
        "mean IoU             0.5833",
        "mean boundary IoU    0.3750",
        "pixel accuracy       0.7500",
        "mean pixel accuracy  0.8333",
        "mean precision       0.7500",
        "mean recall          0.8333",
        "mean F1              0.7333",
        "mean Dice            0.7333",
    ]


def test_means_are_over_the_classes_that_occur():
    """Disc is never predicted and ring never there: both count, star is neither and does not."""
    names = {**NAMES, 3: "star"}
    matrix = ConfusionMatrix(4)
    matrix.add(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 2]))
    report = SemanticReport(matrix.scores(), np.full(4, np.nan), 0.0)
    told = as_values(report, names)
    assert told["classes"]["disc"]["precision"] is None
    assert told["classes"]["ring"]["recall"] is None
    assert told["mean_iou"] == pytest.approx(2 / 3 / 3)
    assert told["mean_precision"] == pytest.approx(2 / 3 / 3)
    assert told["mean_recall"] == pytest.approx(1 / 3)
    assert told["mean_f1"] == told["mean_dice"] == pytest.approx(4 / 5 / 3)
    assert told["classes"]["background"]["dice"] == pytest.approx(4 / 5)


def test_means_of_nothing_are_zero():
    report = SemanticReport(ConfusionMatrix(3).scores(), np.full(3, np.nan), 0.0)
    told = as_values(report, NAMES)
    assert [told[f"mean_{key}"] for key in ("iou", "precision", "recall", "f1", "dice")] == [0] * 5


def test_instance_table():
    rows = {line[:9].strip(): line[9:].split() for line in as_table(instances(), {}).splitlines()}
    assert rows["AP"] == ["1.0000", "1.0000"]
    assert rows["AP large"] == ["-", "-"]
    assert len(rows) == 13


def test_panoptic_table():
    quality = Quality(0.4, 0.8, 0.5, 7)
    lines = as_table(PanopticReport(quality, quality, quality), {}).splitlines()
    assert lines[1].split() == ["all", "0.4000", "0.8000", "0.5000", "7"]


def test_values_are_json():
    told = json.loads(json.dumps(as_values(semantic(), NAMES), allow_nan=False))
    assert told["mean_boundary_iou"] == 0.375
    assert told["classes"]["ring"]["iou"] is None
    told = json.loads(json.dumps(as_values(instances(), NAMES), allow_nan=False))
    assert told["box"]["ap"] == pytest.approx(1)
    assert told["mask"]["ap_large"] is None
    assert told["box"]["by_category"] == {"disc": pytest.approx(1)}
    quality = Quality(0.4, 0.8, 0.5, 7)
    assert as_values(PanopticReport(quality, quality, quality), {})["things"]["pq"] == 0.4
