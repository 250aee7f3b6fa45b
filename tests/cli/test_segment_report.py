"""The JSON document of panoptic answers, and of answers without masks."""

from pathlib import Path

from segserve.cli.segment_report import json_document, text_report
from segserve.client import EncodedMap, Region, Segment, SegmentResult


def result(**found):
    return SegmentResult("m", 1, "sha256:1", "sha256:2", 4, 2, **found)


def test_panoptic_segments_say_more():
    segments = (Segment(1, 7, "cat", 5, is_thing=True, score=0.5), Segment(2, 9, "sky", 3))
    document = json_document(Path("a"), result(segments=segments, map=EncodedMap(2, 4)))
    assert document["segments"] == [
        {
            "label_id": 7,
            "label": "cat",
            "area": 5,
            "mask": None,
            "segment_id": 1,
            "is_thing": True,
            "score": 0.5,
        },
        {
            "label_id": 9,
            "label": "sky",
            "area": 3,
            "mask": None,
            "segment_id": 2,
            "is_thing": False,
            "score": None,
        },
    ]


def test_a_region_without_a_mask():
    document = json_document(Path("a"), result(regions=(Region((0, 1, 2, 2), 0.5, 3, "", 2),)))
    assert document["regions"] == [
        {
            "box": [0, 1, 2, 2],
            "score": 0.5,
            "label_id": 3,
            "label": "",
            "area": 2,
            "mask": None,
            "region_id": "",
        }
    ]


def test_nothing_found_is_said():
    assert "nothing found" in text_report(Path("a"), result(), None)
    assert json_document(Path("a"), result())["segments"] == []


def test_nameless_labels_get_their_number():
    text = text_report(Path("a"), result(segments=(Segment(4, 4, "", 8),)), Path("o.png"))
    assert "label 4" in text
    assert text.splitlines()[-1] == "  overlay: o.png"


def test_whether_it_was_refined_is_told_where_that_was_asked_for():
    assert "refined" not in json_document(Path("a"), result())
    assert json_document(Path("a"), result(refined=False))["refined"] is False
    assert "not refined" in text_report(Path("a"), result(refined=False), None)
    assert "refined" not in text_report(Path("a"), result(refined=True), None)
