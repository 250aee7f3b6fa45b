"""Messages of segserve.v1."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.core.errors import ErrorKind, InvalidInput, Overloaded, Unsupported
from segserve.core.label_map import LabelMap
from segserve.core.messages import ModelRef, RawImage, SegmentResponse, TraceContext
from segserve.core.options import DEFAULT_OPTIONS, MaskFormat, OutputSize, Refine, SegmentOptions
from segserve.core.prompts import Point, Prompt
from segserve.core.regions import Rle
from segserve.generated.segserve.v1 import segmentation_pb2 as pb
from segserve.transport.grpc import segmentation_codec
from segserve.transport.grpc.segmentation_codec import (
    decode_request,
    encode_response,
    encode_streamed,
    request_id,
    streamed_request,
)
from segserve.transport.grpc.wire import bytes_field_head
from segserve.transport.kserve import Call

CALL = Call(trace=TraceContext("t"))


@pytest.fixture(params=["small", "large"], scope="module", autouse=True)
def _read_as(request):
    """Read every message in both ways: as small ones are, and as large ones."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "large":
            patch.setattr(segmentation_codec, "_COPIED_BYTES", -1)
        yield


@pytest.mark.parametrize("count", [100, 100_000])
def test_encoded_image(count):
    encoded = b"jpeg" * count
    data = pb.SegmentRequest(model_name="m", encoded=encoded, id="i").SerializeToString()
    request = decode_request(data, CALL)
    assert request.model == ModelRef("m")
    assert request.options == DEFAULT_OPTIONS
    assert (request.id, request.priority, request.queue_timeout_us) == ("i", 0, 0)
    assert request.trace.parent == "t"
    assert bytes(request.image.data) == encoded
    if count > 100:
        assert request.image.data.obj is data


@pytest.mark.parametrize("height", [2, 10_000])
def test_raw_image(height):
    pixels = (np.arange(height * 12) % 251).astype(np.uint8).reshape(height, 4, 3)
    raw = pb.RawImage(width_px=4, height_px=height, data=pixels.tobytes())
    data = pb.SegmentRequest(model_name="m", raw=raw).SerializeToString()
    image = decode_request(data, CALL).image
    assert isinstance(image, RawImage)
    assert np.array_equal(image.pixels, pixels)
    if height > 2:
        assert np.shares_memory(image.pixels, np.frombuffer(data, np.uint8))


def test_the_last_image_counts_as_in_protobuf():
    one = pb.SegmentRequest(model_name="m", encoded=b"one").SerializeToString()
    two = pb.SegmentRequest(encoded=b"two").SerializeToString()
    assert bytes(decode_request(one + two, CALL).image.data) == b"two"


@pytest.mark.parametrize("size", [(4, 2, 23), (4, 2, 25), (0, 5, 0), (2**31, 2**31, 8)])
def test_raw_image_of_a_wrong_size(size):
    width_px, height_px, count = size
    raw = pb.RawImage(width_px=width_px, height_px=height_px, data=bytes(count))
    data = pb.SegmentRequest(model_name="m", raw=raw).SerializeToString()
    with pytest.raises(InvalidInput, match=f"got {count}"):
        decode_request(data, CALL)


def test_options():
    options = pb.SegmentOptions(
        mask_format=pb.MASK_FORMAT_RAW,
        score_threshold=0,
        top_k=0,
        min_area_px=9,
        label_ids=[3, 4],
        refine=pb.REFINE_DENSE_CRF,
        output_size=pb.OUTPUT_SIZE_STRIDE,
    )
    message = pb.SegmentRequest(
        model_name="m", model_version="2", encoded=b"a", options=options, priority=1
    )
    message.queue_timeout_us = 50
    request = decode_request(message.SerializeToString(), CALL)
    assert request.options == SegmentOptions(
        mask_format=MaskFormat.RAW,
        score_threshold=0.0,
        top_k=0,
        min_area_px=9,
        label_ids=(3, 4),
        refine=Refine.DENSE_CRF,
        output_size=OutputSize.STRIDE,
    )
    assert (request.model.version, request.priority, request.queue_timeout_us) == (2, 1, 50)


def test_every_enum_of_the_core_is_in_the_proto():
    for names, prefix, kind in (
        (pb.MaskFormat, "MASK_FORMAT", MaskFormat),
        (pb.Refine, "REFINE", Refine),
        (pb.OutputSize, "OUTPUT_SIZE", OutputSize),
        (pb.ErrorKind, "ERROR_KIND", ErrorKind),
    ):
        assert set(names.keys()) == {f"{prefix}_{m.name}" for m in kind} | {f"{prefix}_UNSPECIFIED"}
        assert all(m.value == m.name.lower() for m in kind)


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"encoded": b"a", "options": {"mask_format": 77}}, InvalidInput, "unknown mask_format 77"),
        ({"encoded": b"a", "options": {"score_threshold": 2}}, InvalidInput, "score_threshold"),
        ({}, InvalidInput, "has no image"),
        ({"encoded": b"a", "model_version": "x"}, InvalidInput, "version string 'x'"),
    ],
)
def test_texts(fields, error, text):
    data = pb.SegmentRequest(model_name="m", **fields).SerializeToString()
    with pytest.raises(error, match=text):
        decode_request(data, CALL)


def test_parameters_and_prompts_are_read():
    prompts = {
        "prompts": [
            {"points": [{"x": 1, "y": 2, "inside": True}, {"x": 3, "y": 4}]},
            {"box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}},
            {"mask": {"height_px": 1, "width_px": 1, "counts": b"01"}},
        ]
    }
    message = pb.SegmentRequest(
        model_name="m", encoded=b"a", options={"parameters": {"clusters": "3"}}, prompts=prompts
    )
    options = decode_request(message.SerializeToString(), CALL).options
    assert options.parameters == {"clusters": "3"}
    assert options.prompts == (
        Prompt(points=(Point(1, 2), Point(3, 4, inside=False))),
        Prompt(box=(1, 2, 3, 4)),
        Prompt(mask=Rle(1, 1, b"01")),
    )


@given(st.binary(max_size=200))
def test_hostile_bytes(data):
    with contextlib.suppress(InvalidInput, Unsupported):
        decode_request(data, CALL)
    with contextlib.suppress(InvalidInput):
        assert isinstance(request_id(streamed_request(data)), str)


def test_streamed_request_is_a_view():
    inner = pb.SegmentRequest(model_name="m", encoded=b"x" * 50, id="7")
    data = pb.SegmentStreamRequest(request=inner).SerializeToString()
    view = streamed_request(data)
    assert view.obj is data
    assert request_id(view) == "7"
    assert bytes(decode_request(view, CALL).image.data) == b"x" * 50


def test_merged_stream_messages():
    one = pb.SegmentStreamRequest(request=pb.SegmentRequest(model_name="m")).SerializeToString()
    two = pb.SegmentStreamRequest(request=pb.SegmentRequest(encoded=b"i")).SerializeToString()
    request = decode_request(streamed_request(one + two), CALL)
    assert (request.model.name, bytes(request.image.data)) == ("m", b"i")


def test_a_broken_request_keeps_its_id():
    data = pb.SegmentRequest(model_name="m", id="8", model_version="x").SerializeToString()
    assert request_id(data) == "8"
    assert request_id(bytes_field_head(3, 50)) == ""


def answer(**fields):
    ref = ModelRef("m", 3)
    given = {"model_digest": "d", "image_digest": "i", "width_px": 2, "height_px": 1, **fields}
    return SegmentResponse(ref, **given)


def test_unset_parts_stay_unset():
    message = pb.SegmentResponse.FromString(encode_response(answer(), ()))
    assert not message.HasField("label_map")
    assert not message.HasField("regions")
    assert not message.HasField("refined")
    assert message.model_version == "3"


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_raw_map(dtype):
    labels = np.array([[1, 2]], dtype)
    message = pb.SegmentResponse.FromString(
        encode_response(answer(label_map=LabelMap(1, 2, (), labels=labels)), ())
    )
    raw = message.label_map.raw
    assert np.frombuffer(raw.data, f"<u{raw.bytes_per_pixel}").tolist() == [1, 2]


def test_streamed_outcomes():
    good = encode_response(answer(id="a"), ())
    message = pb.SegmentStreamResponse.FromString(encode_streamed("a", good))
    assert (message.id, message.response.model_name) == ("a", "m")
    error = Overloaded("full", retry_after_s=0.5)
    message = pb.SegmentStreamResponse.FromString(encode_streamed("b", error))
    assert message.WhichOneof("outcome") == "error"
    assert (message.id, message.error.kind) == ("b", pb.ERROR_KIND_OVERLOADED)
    assert (message.error.message, message.error.retry_after_us) == ("full", 500_000)
