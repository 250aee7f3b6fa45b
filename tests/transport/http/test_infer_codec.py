"""JSON, binary tensors behind it, bodies that are one tensor."""

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import InferResponse, ModelRef
from segserve.core.tensor import DataType, TensorSpec
from segserve.transport.http.infer_codec import (
    decode_raw_request,
    decode_request,
    encode_response,
)
from segserve.transport.kserve import Call, RequestHead

HEAD = RequestHead(ModelRef("m"), "", {}, Call())


def body(document, *tail):
    header = json.dumps(document).encode()
    return b"".join([header, *tail]), str(len(header))


def row(name="x", datatype="FP32", shape=(2,), **fields):
    return {"name": name, "datatype": datatype, "shape": list(shape), **fields}


def binary(size):
    return {"parameters": {"binary_data_size": size}}


def test_binary_tensors_are_views_in_order():
    values = np.arange(2, dtype=np.float32)
    rows = [row(**binary(8)), row("j", data=[5, 6]), row("s", "BYTES", [1], **binary(5))]
    data, length = body({"inputs": rows, "id": "i"}, values.tobytes(), b"\1\0\0\0z")
    request = decode_request(HEAD, data, length).request
    assert request.id == "i"
    assert request.inputs["x"].tolist() == [0, 1]
    assert np.shares_memory(request.inputs["x"], np.frombuffer(data, np.uint8))
    assert request.inputs["j"].tolist() == [5, 6]
    assert bytes(request.inputs["s"][0]) == b"z"


@pytest.mark.parametrize(
    ("document", "tail", "text"),
    [
        ({"inputs": [row(**binary(8))]}, b"1234", "binary_data_size is 8, but 4 bytes follow"),
        ({"inputs": [row(**binary(8))]}, bytes(9), "1 bytes belong to no input"),
        ({"inputs": [row(**binary(4))]}, bytes(4), "Expected 8, got 4"),
        ({"inputs": [row(**binary(8), data=[1, 2])]}, bytes(8), "must not stand beside"),
        ({"inputs": [row(**binary(-8))]}, b"", "'binary_data_size' must be an integer"),
        ({"inputs": [row()]}, b"", "has no 'data'"),
        ({"inputs": [row(data="ab")]}, b"", "expected a list"),
        ({"inputs": [row(data=[1, "2"])]}, b"", "expected a list of FP32"),
        ({"inputs": [row(data=[[1], [2, 3]])]}, b"", "unable to parse 'data' of input 'x'"),
        ({"inputs": [row(datatype="INT32", data=[1.5, 2])]}, b"", "expected a list of INT32"),
        ({"inputs": [row(datatype="UINT64", data=[2**63, -1])]}, b"", "unable to parse"),
        ({"inputs": [row(datatype="UINT64", data=[2**63, 0.5])]}, b"", "expected integers"),
        ({"inputs": [row(datatype="INT64", data=[2**70, 1])]}, b"", "expected a list of INT64"),
        ({"inputs": [row(datatype="INT8", data=[1, 128])]}, b"", "does not fit INT8"),
        ({"inputs": [row(data=[1, 3.41e38])]}, b"", "does not fit FP32"),
        ({"inputs": [row(datatype="FP16", data=[1, 2])]}, b"", "receiving FP16 data via JSON"),
        ({"inputs": [row(datatype="BYTES", data=["a", 1])]}, b"", "expected strings"),
        ({"inputs": [row(datatype="BYTES", data=["a", "\ud800"])]}, b"", "surrogates"),
        ({"inputs": [row(datatype="BYTES", data=["a"])]}, b"", "expected 2 string elements"),
        ({"inputs": [row(data=[1, 2])] * 2}, b"", "already exists"),
        ({"inputs": [row(shape=["2"], data=[1, 2])]}, b"", "'shape' of entry 0 of 'inputs'"),
        ({"inputs": [row(shape=[True], data=[1])]}, b"", "a list of integers"),
        ({"inputs": [{"name": "x"}]}, b"", "has no 'datatype'"),
        ({"inputs": {}}, b"", "'inputs' of the request must be a list"),
        ({"inputs": [3]}, b"", "entry 0 of 'inputs' must be a JSON object"),
        ({}, b"", "has no 'inputs'"),
        ([], b"", "the request must be a JSON object"),
        ({"inputs": [], "parameters": {"a": []}}, b"", "'a' of 'parameters'"),
        ({"inputs": [], "outputs": [{}]}, b"", "has no 'name'"),
        ({"inputs": [], "id": 5}, b"", "'id' of the request must be a string"),
    ],
)
def test_texts(document, tail, text):
    data, length = body(document, tail)
    with pytest.raises(InvalidInput, match=text):
        decode_request(HEAD, data, length)


@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b'{"inputs": [}', b"\xff", b"NaN"])
def test_what_is_no_json(data):
    with pytest.raises(InvalidInput, match="JSON"):
        decode_request(HEAD, data, None)


@pytest.mark.parametrize("length", ["x", "-1", "99", "1.5"])
def test_a_wrong_header_length(length):
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length"):
        decode_request(HEAD, b"{}", length)


def test_nested_data():
    rows = [
        row(shape=[2, 2], data=[[1, 2], [3, 4]]),
        row("s", "BYTES", [2, 1], data=[["ä"], ["b"]]),
        row("u", "UINT64", [2], data=[1, 2**64 - 1]),
        row("e", "INT8", [0, 3], data=[]),
    ]
    inputs = decode_request(HEAD, body({"inputs": rows})[0], None).request.inputs
    assert inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert inputs["s"].tolist() == [["ä".encode()], [b"b"]]
    assert inputs["u"].tolist() == [1, 2**64 - 1]
    assert inputs["e"].shape == (0, 3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "outputs", "name", "shape", "data", "parameters", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(json_values, st.binary(max_size=8))
def test_hostile_json(document, tail):
    data, length = body(document, tail)
    with contextlib.suppress(InvalidInput, Unsupported):
        decode_request(HEAD, data, length)


@given(
    json_values, st.sampled_from([d.value for d in DataType]), st.lists(st.integers(), max_size=3)
)
def test_hostile_data(data, datatype, shape):
    rows = [row(datatype=datatype, shape=shape, data=data)]
    with contextlib.suppress(InvalidInput):
        decode_request(HEAD, body({"inputs": rows})[0], None)


def spec(dtype, dims):
    return TensorSpec("x", dtype, dims)


def test_raw_requests():
    data = np.arange(6, dtype=np.float32).tobytes()

    def raw(dtype, dims, *, image=False, batched=False):
        decoded = decode_raw_request(HEAD, data, spec(dtype, dims), is_image=image, batched=batched)
        assert decoded.is_binary("anything")
        return decoded.request.inputs["x"]

    assert raw(DataType.FP32, (-1, 2)).shape == (3, 2)
    assert raw(DataType.FP32, (-1, 2, -1), batched=True).shape == (1, 2, 3)
    assert raw(DataType.BYTES, (-1, 1), batched=True).tolist() == [[data]]
    assert raw(DataType.FP32, (-1, 3, -1, -1), image=True, batched=True).tolist() == [data]
    for dims, text in (
        ((-1, -1), "cannot be told"),
        ((-1, 4), "Expected 16, got 24"),
        ((0, -1), "Expected 0, got 24"),
    ):
        with pytest.raises(InvalidInput, match=text):
            raw(DataType.FP32, dims)


def response(**outputs):
    return InferResponse(ModelRef("m", 2), outputs)


def test_outputs_in_json_and_binary():
    document = {
        "inputs": [],
        "outputs": [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}],
    }
    decoded = decode_request(HEAD, body(document)[0], None)
    assert decoded.request.outputs == ("a", "b")
    outputs = {"a": np.array([1, 2], np.int16), "b": np.array([[0.5]], np.float64)}
    data, length = encode_response(decoded, response(**outputs))
    header = json.loads(data[:length])
    assert header["outputs"] == [
        {"name": "a", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
        {"name": "b", "datatype": "FP64", "shape": [1, 1], "data": [0.5]},
    ]
    assert data[length:] == struct.pack("<2h", 1, 2)


def test_all_outputs_binary_on_demand():
    document = {"inputs": [], "parameters": {"binary_data_output": True}}
    decoded = decode_request(HEAD, body(document)[0], None)
    data, length = encode_response(decoded, response(a=np.zeros((0, 4), np.float32)))
    assert json.loads(data[:length])["outputs"][0]["parameters"] == {"binary_data_size": 0}
    assert len(data) == length


def test_json_by_default():
    decoded = decode_request(HEAD, body({"inputs": []})[0], None)
    strings = np.array([b"a", "ä"], dtype=object)
    data, length = encode_response(decoded, response(s=strings, n=np.array(2**63 - 1)))
    assert length is None
    assert [o["data"] for o in json.loads(data)["outputs"]] == [["a", "ä"], [2**63 - 1]]
    for bad in (np.array([b"\xff"], dtype=object), np.zeros(1, np.float16)):
        with pytest.raises(InvalidInput, match="use the binary data format"):
            encode_response(decoded, response(o=bad))


def test_foreign_memory():
    for document in (
        {"inputs": [row(parameters={"shared_memory_region": "r"})]},
        {"inputs": [], "outputs": [{"name": "a", "parameters": {"classification": 3}}]},
    ):
        with pytest.raises(Unsupported):
            decode_request(HEAD, body(document)[0], None)
