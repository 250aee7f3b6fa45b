"""KServe v2 over HTTP on a real server."""

import asyncio
import gzip
import json
import socket
import zlib

import httpx
import numpy as np
import pytest

from segserve.core.errors import LoadFailed
from segserve.transport.http.server import HttpOptions, HttpServer

INFER = "/v2/models/echo/infer"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def document(data=(1.0, 2.0), **fields):
    row = {"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return {"inputs": [row], **fields}


async def test_health(http, engine):
    assert (await http.get("/v2/health/live")).json() == {"live": True}
    assert (await http.get("/v2/health/ready")).json() == {"ready": True}
    engine.is_ready = False
    answer = await http.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert (await http.get("/v2/models/echo/ready")).json() == {"name": "echo", "ready": True}
    assert (await http.get("/v2/models/echo/versions/3/ready")).status_code == 200
    for path in ("/v2/models/echo/versions/4/ready", "/v2/models/no/ready"):
        assert (await http.get(path)).status_code == 503


async def test_metadata(http):
    assert (await http.get("/v2")).json() == {
        "name": "segserve",
        "version": "9.9",
        "extensions": ["statistics"],
    }
    assert (await http.get("/v2/models")).json() == {"models": ["echo"]}
    for path in ("/v2/models/echo", "/v2/models/echo/versions/3"):
        told = (await http.get(path)).json()
        assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        assert (told["versions"], told["platform"]) == (["3"], "onnxruntime_onnx")
    assert (await http.get("/v2/models/seg/segmentation")).json()["family"] == {"name": "semantic"}


async def test_numbers_are_numbers(http):
    config = (await http.get("/v2/models/echo/config")).json()
    assert config["max_batch_size"] == 4
    assert config["input"][0]["dims"] == [2]
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["input"][0]["optional"] is False
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 7
    assert "sequence_batching" not in config
    assert config["parameters"] == {}
    for path in ("/v2/models/stats", "/v2/models/echo/stats", "/v2/models/echo/versions/3/stats"):
        row = (await http.get(path)).json()["model_stats"][0]
        assert row["last_inference"] == 77
        assert row["inference_stats"]["success"] == {"count": 2, "ns": 2**40}
        assert row["inference_stats"]["cache_hit"] == {"count": 0, "ns": 0}
        assert row["batch_stats"][0]["batch_size"] == 4


async def test_repository(http, engine):
    rows = (await http.post("/v2/repository/index")).json()
    assert [(r["name"], r["state"]) for r in rows] == [("echo", "READY"), ("gone", "UNAVAILABLE")]
    assert len((await http.post("/v2/repository/index", json={"ready": True})).json()) == 1
    given = {"config": "{}", "file:1/model.onnx": "AQI="}
    url = "/v2/repository/models/m"
    assert (await http.post(f"{url}/load", json={"parameters": given})).status_code == 200
    assert (await http.post(f"{url}/load")).status_code == 200
    dependents = {"parameters": {"unload_dependents": True}}
    assert (await http.post(f"{url}/unload", json=dependents)).status_code == 200
    assert engine.calls == [
        ("load", "m", "{}", {"1/model.onnx": b"\1\2"}),
        ("load", "m", None, {}),
        ("unload", "m", True),
    ]
    for path, body in (
        ("index", {"ready": "yes"}),
        ("models/m/load", {"parameters": {"file:1/a": "no base64!"}}),
        ("models/m/load", {"parameters": {"x": 1}}),
    ):
        answer = await http.post(f"/v2/repository/{path}", json=body)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/echo/versions/x/infer", 400),
        ("GET", "/v2/models/no/config", 404),
    ],
)
async def test_failures_are_json(http, method, path, code):
    answer = await http.request(method, path)
    assert answer.status_code == code
    assert isinstance(answer.json()["error"], str)


async def test_infer_json(http, engine):
    answer = await http.post(INFER, json=document(id="a"), headers={"traceparent": TRACE})
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]
    assert engine.requests[0].trace_parent == TRACE


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


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_compressed_requests(http, name, pack):
    content = pack(json.dumps(document()).encode())
    answer = await http.post(INFER, content=content, headers={"content-encoding": name})
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gzip", gzip.compress(bytes(5_000_000)), 400),
        ("gzip", gzip.compress(b"{}" * 500)[:-9], 400),
        ("gzip", b"nonsense", 400),
        ("br", b"", 501),
        ("identity", b" " * 1_000_001, 400),
    ],
)
async def test_bodies_that_are_refused(http, name, content, code):
    answer = await http.post(INFER, content=content, headers={"content-encoding": name})
    assert answer.status_code == code
    if b" " in content[:1] or len(content) > 4000:
        assert "--max-request-bytes" in answer.json()["error"]


async def test_a_chunked_body_over_the_limit(http):
    async def chunks():
        for _ in range(20):
            yield bytes(100_000)

    answer = await http.post(INFER, content=chunks())
    assert answer.status_code == 400
    assert "--max-request-bytes" in answer.json()["error"]


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


async def test_a_hint_to_retry(http):
    answer = await http.post("/v2/models/full/infer", json=document())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["segserve-error-kind"] == "overloaded"


async def test_a_caller_that_goes_cancels_the_work(http, engine):
    asking = asyncio.create_task(http.post("/v2/models/hang/infer", json=document()))
    await engine.wait_requests()
    asking.cancel()
    async with asyncio.timeout(10):
        await engine.cancelled.wait()


async def test_pipelined_after_a_failure(http):
    assert (await http.post(INFER, content=b"{")).status_code == 400
    assert (await http.post(INFER, json=document())).status_code == 200


async def test_a_taken_port_is_named(engine):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoadFailed, match=f"{port}.*--http-port"):
            await HttpServer(engine, HttpOptions(port=port)).start()


async def test_overload_status(engine):
    server = HttpServer(engine, HttpOptions(overload_status="resource_exhausted"))
    url = f"http://127.0.0.1:{await server.start()}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.post("/v2/models/full/infer", json=document())).status_code == 429
    await server.stop(0.1)


async def test_stopping_lets_requests_finish(http, http_server, engine):
    release = asyncio.Event()

    async def wait(_ref):
        await release.wait()

    engine._maybe_hang = wait
    asking = asyncio.create_task(http.post(INFER, json=document()))
    await engine.wait_requests()
    stopping = asyncio.create_task(http_server.stop(10))
    await asyncio.sleep(0.3)
    release.set()
    async with asyncio.timeout(10):
        answer = await asking
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        await stopping
    with pytest.raises(httpx.ConnectError):
        await http.get("/v2/health/live")


async def test_stop_before_start(engine):
    await HttpServer(engine, HttpOptions()).stop(1)
