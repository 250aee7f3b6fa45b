"""Encoded images inside tensor requests, and regions and maps as columns."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import InferRequest, ModelRef, SegmentResponse
from segserve.core.options import MaskFormat
from segserve.core.regions import Regions, Rle
from segserve.serving.image_tensors import carries_images, to_segment_requests, to_tensors

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
