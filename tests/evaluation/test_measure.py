"""Answers that are known, scored: all right, and wrong in one place."""

import numpy as np
import pytest

from segserve.client import EncodedMap, Region, Segment, SegmentResult, StreamAnswer
from segserve.client.errors import unreadable
from segserve.core.errors import InvalidInput
from segserve.evaluation.instance_sets import synthetic_instances
from segserve.evaluation.measure import (
    category_of,
    measure_instances,
    measure_panoptic,
    measure_semantic,
)
from segserve.evaluation.panoptic_quality import PanopticSegment
from segserve.evaluation.panoptic_sets import PanopticImage, PanopticSet
from segserve.evaluation.semantic_sets import scene, synthetic_scenes
from segserve.ops.rle import encode
from segserve.scenes import CLASS_NAMES


def quiet(done, total):
    pass


def result(shape, **fields):
    return SegmentResult("m", 1, "", "", shape[1], shape[0], **fields)


def answering(results):
    """Gives the answers last first, as a server may."""

    def ask(pictures, options):
        count = sum(1 for _ in pictures)
        assert count == len(results)
        yield from (StreamAnswer(n, results[n]) for n in reversed(range(count)))

    return ask


def raw(labels):
    height, width = labels.shape
    return result(labels.shape, map=EncodedMap(height, width, raw=labels.tobytes()))


def test_semantic():
    data = synthetic_scenes(3)
    truths = [image.read_truth() for image in data.images]
    told = []
    report = measure_semantic(
        data, answering([raw(t) for t in truths]), lambda *at: told.append(at)
    )
    assert report.scores.mean_iou == report.mean_boundary_iou == 1
    assert told == [(1, 3), (2, 3), (3, 3)]
    nothing = [raw(np.zeros_like(t)) for t in truths]
    wrong = measure_semantic(data, answering(nothing), quiet)
    assert wrong.scores.mean_iou < 0.3
    assert np.nansum(wrong.boundary_iou[1:]) == 0


def region(truth, score=0.5, label=None):
    x, y, width, height = truth.box
    label_id = truth.category_id
    name = label or CLASS_NAMES[label_id]
    box = (x, y, x + width, y + height)
    return Region(box, score, label_id, name, int(truth.area), truth.mask)


def test_instances():
    data = synthetic_instances(3)
    truths = [image.read_truths() for image in data.images]
    right = [result((1, 1), regions=tuple(map(region, rows))) for rows in truths]
    report = measure_instances(data, answering(right), quiet)
    assert report.box.ap == report.mask.ap == pytest.approx(1)
    fewer = [*right[:2], result((1, 1))]
    assert 0 < measure_instances(data, answering(fewer), quiet).mask.ap < 1


def test_what_a_model_finds_of_no_category_is_left_out():
    data = synthetic_instances(1)
    truths = data.images[0].read_truths()
    rows = [*map(region, truths), region(truths[0], score=0.9, label="N/A")]
    report = measure_instances(data, answering([result((1, 1), regions=tuple(rows))]), quiet)
    assert report.mask.ap == pytest.approx(1)


def test_a_model_of_label_maps_has_no_ap():
    data = synthetic_instances(2)
    maps = [raw(scene(n).labels) for n in range(2)]
    with pytest.raises(InvalidInput, match="label maps and found no instance"):
        measure_instances(data, answering(maps), quiet)
    nothing = [result((1, 1)), result((1, 1))]
    assert measure_instances(data, answering(nothing), quiet).mask.ap == 0


def test_labels_are_matched_by_name():
    assert category_of("dog", 16, {"person": 1, "dog": 18}) == 18
    with pytest.raises(InvalidInput, match=r"label 3, 'unicorn', is no category.*person"):
        category_of("unicorn", 3, {"person": 1})


def test_panoptic():
    truth = np.array([[5, 5, 9, 9], [5, 5, 9, 0]])
    segments = (PanopticSegment(5, 1), PanopticSegment(9, 2))
    image = PanopticImage("a", lambda: b"", lambda: (truth, segments))
    data = PanopticSet({"person": 1, "sky": 2}, frozenset({1}), (image,))
    found = [
        Segment(7, 0, "person", 4, is_thing=True, mask=encode(truth == 5)),
        Segment(8, 1, "sky", 2, mask=encode((truth == 9) & (np.arange(4) == 2))),
    ]
    report = measure_panoptic(data, answering([result((2, 4), segments=tuple(found))]), quiet)
    assert report.things.pq == 1
    assert report.stuff.pq == pytest.approx(2 / 3)
    assert report.everything.pq == pytest.approx(5 / 6)
    boxes = result((2, 4), regions=(Region((0, 0, 1, 1), 0.5, 1, "person", 1, None),))
    with pytest.raises(InvalidInput, match="instances alone, no map of segments"):
        measure_panoptic(data, answering([boxes]), quiet)
    bare = result((2, 4), segments=(Segment(7, 0, "person", 4),))
    with pytest.raises(InvalidInput, match="segment without a mask"):
        measure_panoptic(data, answering([bare]), quiet)


def test_an_image_that_fails_ends_it():
    def ask(pictures, options):
        yield StreamAnswer(0, error=unreadable("no"))

    with pytest.raises(type(unreadable("")), match="no") as caught:
        measure_semantic(synthetic_scenes(1), ask, quiet)
    assert caught.value.__notes__ == ["(image scene 0)"]


def test_a_truth_that_does_not_fit_is_named():
    small = [raw(np.zeros((2, 2), np.uint8))]
    with pytest.raises(InvalidInput, match=r"prediction is \(2, 2\)") as caught:
        measure_semantic(synthetic_scenes(1), answering(small), quiet)
    assert caught.value.__notes__ == ["(image scene 0)"]
