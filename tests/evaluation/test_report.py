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
    assert lines[0].split() == ["class", "IoU", "boundary", "precision", "recall", "F1"]
    assert lines[1].split() == ["background", "0.6667", "0.5000", "1.0000", "0.6667", "0.8000"]
    assert lines[3].split() == ["ring", *"-----"]
    assert "mean boundary IoU    0.3750" in lines


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
