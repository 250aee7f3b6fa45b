"""ModelInfer messages: views in, one join out, nothing but InvalidInput for hostile bytes."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import InferRequest, InferResponse, ModelRef
from segserve.core.options import MaskFormat
from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport.grpc.codec import decode_request, encode_response, split_request
from segserve.transport.kserve import Call

CALL = Call()


def request(*tensors, **fields):
    message = pb.ModelInferRequest(model_name="m", **fields)
    for name, datatype, shape, raw in tensors:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw is not None:
            message.raw_input_contents.append(raw)
    return message


texts = st.text(max_size=5)
tensors = st.lists(
    st.tuples(
        texts,
        st.sampled_from(["FP32", "BYTES", "BOOL", "nonsense"]),
        st.lists(st.integers(-2, 2**62), max_size=3),
        st.none() | st.binary(max_size=20),
    ),
    max_size=4,
)


@given(tensors, texts, texts)
def test_scan_equals_protobuf(rows, version, name):
    message = request(*rows, model_version=version, id=name)
    data = message.SerializeToString()
    rest, raw = split_request(data)
    assert [bytes(view) for view in raw] == list(message.raw_input_contents)
    assert all(view.obj is data for view in raw)
    message.ClearField("raw_input_contents")
    assert rest == message


@given(tensors, texts)
def test_hostile_messages(rows, version):
    with contextlib.suppress(InvalidInput):
        decode_request(request(*rows, model_version=version).SerializeToString(), CALL)


@given(st.binary(max_size=300))
def test_hostile_bytes(data):
    with contextlib.suppress(InvalidInput, Unsupported):
        decode_request(data, CALL)


@given(st.data())
def test_damaged_messages(draw):
    good = request(("x", "FP32", [1, 2], bytes(8)), ("s", "BYTES", [1], b"\1\0\0\0a"))
    good.parameters["timeout"].int64_param = 5
    data = bytearray(good.SerializeToString())
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidInput, Unsupported):
        decode_request(bytes(data[: draw.draw(st.integers(0, len(data)))]), CALL)


def test_arrays_are_views_of_the_message():
    values = np.arange(6, dtype=np.float32)
    data = request(("x", "FP32", [2, 3], values.tobytes()), model_version="2", id="a")
    data.outputs.add(name="y")
    wire = data.SerializeToString()
    decoded = decode_request(memoryview(wire), CALL)
    assert decoded.model == ModelRef("m", 2)
    assert (decoded.id, decoded.outputs) == ("a", ("y",))
    assert np.array_equal(decoded.inputs["x"], values.reshape(2, 3))
    assert np.shares_memory(decoded.inputs["x"], np.frombuffer(wire, np.uint8))


def test_strings_are_views_and_bring_options():
    message = request(("image", "BYTES", [1, 1], struct.pack("<I", 3) + b"jpg"))
    message.parameters["mask_format"].string_param = "png"
    message.parameters["top_k"].double_param = 4
    decoded = decode_request(message.SerializeToString(), CALL)
    assert bytes(decoded.inputs["image"][0, 0]) == b"jpg"
    assert isinstance(decoded.inputs["image"][0, 0], memoryview)
    assert decoded.options.mask_format is MaskFormat.PNG
    assert decoded.options.top_k == 4


def test_typed_strings():
    message = request(("s", "BYTES", [2], None))
    message.inputs[0].contents.bytes_contents.extend([b"a", b"bc"])
    assert decode_request(message.SerializeToString(), CALL).inputs["s"].tolist() == [b"a", b"bc"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.inputs[0].contents.fp32_contents.append(1), "contents field must not be"),
        (lambda m: m.raw_input_contents.append(b""), "one per input, got 2"),
        (lambda m: m.ClearField("raw_input_contents"), "expected 2 elements in fp32_contents"),
        (lambda m: m.inputs.add().CopyFrom(m.inputs[0]), "expected 2 entries"),
        (lambda m: m.ClearField("model_name"), "names no model"),
        (lambda m: setattr(m, "model_version", "new"), "specified version string 'new'"),
        (lambda m: setattr(m.inputs[0], "datatype", "FP16"), "Expected 4, got 8"),
    ],
)
def test_texts(change, text):
    message = request(("x", "FP32", [1, 2], bytes(8)))
    change(message)
    with pytest.raises(InvalidInput, match=text):
        decode_request(message.SerializeToString(), CALL)


def test_half_precision_comes_raw_only():
    message = request(("x", "FP16", [2], None))
    message.inputs[0].contents.fp32_contents.extend([1, 2])
    with pytest.raises(InvalidInput, match="FP16 elements must come in raw_input_contents"):
        decode_request(message.SerializeToString(), CALL)


def test_an_input_comes_once():
    row = ("x", "FP32", [1], bytes(4))
    with pytest.raises(InvalidInput, match="input 'x' already exists"):
        decode_request(request(row, row).SerializeToString(), CALL)


def test_shared_memory_is_refused():
    message = request(("x", "FP32", [1], None))
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(Unsupported, match="shared memory"):
        decode_request(message.SerializeToString(), CALL)


def test_a_response_is_what_protobuf_would_write():
    outputs = {
        "a": np.arange(200, dtype=np.int64).reshape(2, 100).T,
        "empty": np.zeros((0, 4), np.float32),
        "text": np.array([b"xy", memoryview(b"z")], dtype=object),
        "half": np.array([1.5], np.float16),
        "truth": np.array([True, False]),
    }
    asked = InferRequest(ModelRef("m"), {})
    told = {"p": True, "q": 2, "r": 0.5, "s": "t"}
    response = InferResponse(ModelRef("m", 7), outputs, "id", parameters=told)
    data = encode_response(asked, response)
    assert isinstance(data, bytes)
    message = pb.ModelInferResponse.FromString(data)
    assert (message.model_name, message.model_version, message.id) == ("m", "7", "id")
    assert [(o.name, o.datatype, list(o.shape)) for o in message.outputs] == [
        ("a", "INT64", [100, 2]),
        ("empty", "FP32", [0, 4]),
        ("text", "BYTES", [2]),
        ("half", "FP16", [1]),
        ("truth", "BOOL", [2]),
    ]
    assert list(message.raw_output_contents) == [
        outputs["a"].tobytes(),
        b"",
        b"\2\0\0\0xy\1\0\0\0z",
        outputs["half"].tobytes(),
        b"\1\0",
    ]
    assert message.parameters["p"].bool_param
    assert message.parameters["q"].int64_param == 2
    assert message.parameters["r"].double_param == 0.5
    assert message.parameters["s"].string_param == "t"
