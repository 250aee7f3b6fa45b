"""The infer endpoint on a real server."""

import asyncio
import json

import numpy as np
import pytest

from segserve.core.tensor import DataType, TensorSpec
from segserve.serving.views import ModelMetadata

INFER = "/v2/models/echo/infer"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def document(data=(1.0, 2.0), **fields):
    row = {"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return {"inputs": [row], **fields}


async def test_infer_json(http, engine):
    answer = await http.post(INFER, json=document(id="a"), headers={"traceparent": TRACE})
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]
    assert engine.requests[0].trace.parent == TRACE


async def test_infer_binary(http):
    values = np.array([[1, 2]], np.float32)
    size = {"binary_data_size": 8}
    rows = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": size}]
    header = json.dumps({"inputs": rows, "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    answer = await http.post(INFER, content=header + values.tobytes(), headers=headers)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == size
    assert answer.content[length:] == values.tobytes()


async def test_an_image_as_the_whole_body(http, engine):
    plain = {"Inference-Header-Content-Length": "0"}
    for headers in (plain, {"content-type": "image/jpeg"}):
        answer = await http.post(
            "/v2/models/seg/infer?mask_format=png&top_k=3", content=b"jpeg", headers=headers
        )
        length = int(answer.headers["Inference-Header-Content-Length"])
        assert answer.content[length:] == b"\4\0\0\0jpeg"
        got = engine.requests[-1]
        assert got.inputs["x"].shape == (1,)
        assert (got.options.mask_format.value, got.options.top_k) == ("png", 3)
    tensor = np.array([3, 4], np.float32).tobytes()
    assert (await http.post(INFER, content=tensor, headers=plain)).content.endswith(tensor)
    assert engine.requests[-1].inputs["x"].tolist() == [[3, 4]]


async def test_an_image_for_a_model_that_fills_its_other_inputs_itself(http, engine):
    two = tuple(TensorSpec(name, DataType.FP32, (-1, 2)) for name in ("size", "x"))
    engine.model_metadata = lambda ref: ModelMetadata(ref.name, ("3",), "onnx", two, two[1:])
    headers = {"Inference-Header-Content-Length": "0"}
    answer = await http.post("/v2/models/seg/infer", content=b"jpeg", headers=headers)
    assert answer.status_code == 200, answer.json()
    assert list(engine.requests[-1].inputs) == ["x"]
    refused = await http.post(INFER, content=b"jpeg", headers=headers)
    assert refused.status_code == 400
    assert "'echo' has 2: send a JSON header" in refused.json()["error"]


@pytest.mark.parametrize(
    "start",
    [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"RIFF....WEBP", b"GIF89a", b"\0\0\0\x18ftypheic"],
)
async def test_an_image_without_a_header_is_known_by_its_first_bytes(http, engine, start):
    kind = {"content-type": "application/x-www-form-urlencoded"}  # what curl sends by itself
    answer = await http.post("/v2/models/seg/infer", content=start + b"..", headers=kind)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.content[length + 4 :] == start + b".."
    assert list(engine.requests[-1].inputs) == ["x"]


@pytest.mark.parametrize(
    ("body", "length", "is_told"),
    [
        (b"ab", None, True),
        (b"[1]", None, True),
        (b' {"inputs": 1}', None, False),
        (b'\xef\xbb\xbf{"inputs": 1}', None, False),
        ('{"inputs": 1}'.encode("utf-16"), None, False),
        (b"{", None, False),
        (b"", None, False),
        (b"\xff\xd8\xff\xe0", "abc", False),
        (b"\xff\xd8\xff\xe0", "99", False),
    ],
)
async def test_a_body_that_is_neither_json_nor_an_image_is_told_so(http, body, length, is_told):
    headers = {"Inference-Header-Content-Length": length} if length else {}
    answer = await http.post("/v2/models/seg/infer", content=body, headers=headers)
    assert answer.status_code == 400
    told = "no JSON object, and no image: a JPEG, PNG or WebP begins otherwise"
    assert (told in answer.json()["error"]) is is_told


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("br, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("count", [1000, 20_000])
async def test_compressed_answers(http, accept, expected, count):
    data = [float(n) for n in range(count)]
    answer = await http.post(INFER, json=document(data), headers={"accept-encoding": accept})
    assert answer.headers.get("content-encoding") == expected
    assert answer.json()["outputs"][0]["data"] == data


async def test_short_answers_stay_as_they_are(http):
    answer = await http.post(INFER, json=document(), headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_a_caller_that_goes_cancels_the_work(http, engine):
    asking = asyncio.create_task(http.post("/v2/models/hang/infer", json=document()))
    await engine.wait_requests()
    asking.cancel()
    async with asyncio.timeout(10):
        await engine.cancelled.wait()
