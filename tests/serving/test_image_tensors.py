"""Encoded images inside tensor requests, and regions and maps as columns."""

from dataclasses import replace

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import InferRequest, ModelRef, SegmentResponse
from segserve.core.options import MaskFormat
from segserve.core.regions import Regions, Rle
from segserve.core.tensor import DataType
from segserve.serving.image_tensors import (
    answer_tensors,
    carries_images,
    to_segment_requests,
    to_tensors,
)

M = ModelRef("m", 1)


def images(shape, n):
    array = np.empty(n, dtype=object)
    array[:] = [bytes([i]) for i in range(n)]
    return InferRequest(model=M, inputs={"image": array.reshape(shape)}, id="r")


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_request_per_image(shape):
    request = images(shape, 3)
    assert carries_images(request, "image")
    assert [r.image.data for r in to_segment_requests(request, "image")] == [b"\0", b"\1", b"\2"]


def test_tensors_are_not_images():
    request = InferRequest(model=M, inputs={"image": np.zeros((1, 3, 2, 2), np.float32)})
    assert not carries_images(request, "image")


@pytest.mark.parametrize(("shape", "n"), [((2, 2), 4), ((0,), 0), ((1, 1, 2), 2)])
def test_odd_shapes_are_refused(shape, n):
    with pytest.raises(InvalidInput, match=r"\[N\] or \[N,1\]"):
        to_segment_requests(images(shape, n), "image")


def with_parameters(*names):
    return replace(images((1,), 1), parameters=dict.fromkeys(names, "1"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("score_treshold", "score_threshold"),
        ("threshold", "score_threshold"),
        ("min_area", "min_area_px"),
        ("label_id", "label_ids"),
        ("cluster", "clusters"),
    ],
)
def test_a_misspelt_option_is_refused(name, meant):
    with pytest.raises(InvalidInput, match=f"'{name}': no such option, did you mean '{meant}'"):
        to_segment_requests(with_parameters("of_mine", name), "image", ["clusters"])


def test_parameters_of_the_callers_own_are_left_alone():
    names = ["timing", "tenant", "mask_format.label_map", "score" * 20, *map(str, range(10_000))]
    (request,) = to_segment_requests(with_parameters(*names, "clusters"), "image", ["clusters"])
    assert request.options.parameters == {"clusters": "1"}


def answer(height, width, *segments, **fields):
    label_map = LabelMap(height, width, segments, **fields)
    return SegmentResponse(M, "sha256:m", "sha256:i", width, height, label_map=label_map)


def test_semantic_rle_columns_split_by_image():
    rle = Rle(2, 3, b"06")
    out = to_tensors(
        [
            answer(2, 3, Segment(1, 1, 6, mask=rle)),
            answer(4, 5),
            answer(2, 3, Segment(2, 2, 6, mask=rle)),
        ],
        MaskFormat.RLE,
    )
    assert out["labels"].tolist() == [1, 2]
    assert out["row_splits"].tolist() == [0, 1, 1, 2]
    assert out["mask_rle"].tolist() == [b"06", b"06"]
    assert out["image_size"].tolist() == [[2, 3], [4, 5], [2, 3]]


def test_png_and_raw_maps():
    png = to_tensors([answer(2, 3, png=b"P1"), answer(4, 4, png=b"P2")], MaskFormat.PNG)
    assert png["label_map"].tolist() == [b"P1", b"P2"]
    labels = np.ones((2, 3), np.uint8)
    raw = to_tensors([answer(2, 3, labels=labels)] * 2, MaskFormat.RAW)
    assert raw["label_map"].shape == (2, 2, 3)
    with pytest.raises(InvalidInput, match="one size"):
        to_tensors(
            [answer(2, 3, labels=labels), answer(1, 1, labels=labels[:1, :1])], MaskFormat.RAW
        )


def detection(height, width, count=1, **fields):
    regions = Regions(
        boxes=np.tile(np.array([0, 0, width, height], np.float32), (count, 1)),
        scores=np.full(count, 0.9, np.float32),
        labels=np.full(count, 3, np.int32),
        areas=np.full(count, 6, np.int64),
        masks=(Rle(2, 3, b"06"),) * count,
        image_index=np.zeros(count, np.int32),
        row_splits=np.array([0, count]),
    )
    return SegmentResponse(M, "", "", width, height, regions=regions, **fields)


THING = Segment(2, 3, 4, is_thing=True, score=0.75, mask=Rle(2, 3, b"04"))
STUFF = Segment(1, 80, 2, mask=Rle(2, 3, b"42"))


def test_a_panoptic_answer_has_the_detections_and_the_map() -> None:
    first = detection(2, 3, label_map=LabelMap(2, 3, (THING, STUFF)))
    second = detection(2, 3, count=2, label_map=LabelMap(2, 3, (STUFF,)))
    out = to_tensors([first, second], MaskFormat.RLE)
    assert (out["labels"].tolist(), out["row_splits"].tolist()) == ([3, 3, 3], [0, 1, 3])
    assert len(out["mask_rle"]) == 3
    assert out["segment_ids"].tolist() == [2, 1, 1]
    assert out["segment_labels"].tolist() == [3, 80, 80]
    assert out["segment_areas"].tolist() == [4, 2, 2]
    assert out["segment_scores"].tolist() == [0.75, -1, -1]
    assert out["segment_things"].tolist() == [True, False, False]
    assert out["segment_row_splits"].tolist() == [0, 2, 3]
    assert out["segment_mask_rle"].tolist() == [b"04", b"42", b"42"]
    assert "segment_map" not in out
    assert "label_map" not in out
    assert out["image_size"].tolist() == [[2, 3], [2, 3]]


def test_panoptic_maps_as_pictures_and_without() -> None:
    labels = np.ones((2, 3), np.uint8)
    png = detection(2, 3, label_map=LabelMap(2, 3, (THING,), png=b"P"))
    assert to_tensors([png], MaskFormat.PNG)["segment_map"].tolist() == [b"P"]
    raw = detection(2, 3, label_map=LabelMap(2, 3, (THING,), labels=labels))
    assert to_tensors([raw], MaskFormat.RAW)["segment_map"].shape == (1, 2, 3)
    bare = to_tensors([detection(2, 3, label_map=LabelMap(2, 3, (THING,)))], MaskFormat.NONE)
    assert bare["segment_ids"].tolist() == [2]
    assert {"segment_map", "segment_mask_rle", "mask_rle"}.isdisjoint(bare)


def test_instance_answers_have_no_map() -> None:
    out = to_tensors([detection(2, 3)], MaskFormat.RLE)
    assert not [name for name in out if name.startswith("segment_")]
    assert "refined" not in out


PIXELS = {"png": b"P", "labels": np.ones((2, 3), np.uint8)}


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("instance", detection(2, 3)),
        ("proposals", detection(2, 3)),
        ("panoptic", detection(2, 3, label_map=LabelMap(2, 3, (THING, STUFF), **PIXELS))),
        ("semantic", replace(answer(2, 3, STUFF, **PIXELS), refined=True)),
        ("classical", answer(2, 3, STUFF, **PIXELS)),
    ],
)
@pytest.mark.parametrize("mask_format", [*MaskFormat])
def test_what_a_model_is_told_to_answer_is_what_it_answers(kind, response, mask_format):
    formats = (None, mask_format.value)
    told = [t for t in answer_tensors(kind) if t.get("mask_format") in formats]
    given = to_tensors([response], mask_format)
    assert sorted(t["name"] for t in told) == sorted(given)
    for tensor in told:
        array = given[tensor["name"]]
        assert DataType.of(array.dtype).value in tensor["datatype"].split(" or "), tensor
        assert len(tensor["shape"]) == array.ndim
        assert all(n in (-1, m) for n, m in zip(tensor["shape"], array.shape, strict=True))


def test_who_asked_for_a_refinement_is_told_of_each_image() -> None:
    both = [replace(answer(2, 3), refined=True), replace(answer(2, 3), refined=False)]
    refined = to_tensors(both, MaskFormat.RLE)["refined"]
    assert (refined.dtype, refined.tolist()) == (np.bool_, [True, False])
    assert "refined" not in to_tensors([answer(2, 3)], MaskFormat.RLE)


def test_zero_instances_keep_their_columns():
    none = Regions(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        labels=np.zeros(0, np.int32),
        areas=np.zeros(0, np.int64),
        masks=(),
        image_index=np.zeros(0, np.int32),
        row_splits=np.array([0, 0]),
    )
    out = to_tensors([SegmentResponse(M, "", "", 3, 2, regions=none)], MaskFormat.RLE)
    assert out["boxes"].shape == (0, 4)
    assert out["mask_rle"].shape == (0,)
    assert out["row_splits"].tolist() == [0, 0]


def test_the_models_own_parameters_go_with_each_image():
    images = np.array([b"a", b"b"], dtype=object)
    request = InferRequest(
        ModelRef("m"), {"image": images}, parameters={"clusters": 3, "timing": True}
    )
    both = to_segment_requests(request, "image", ("clusters", "seed"))
    assert [one.options.parameters for one in both] == [{"clusters": "3"}] * 2
    assert to_segment_requests(request, "image")[0].options.parameters == {}
