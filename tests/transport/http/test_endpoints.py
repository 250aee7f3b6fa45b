"""Health, metadata, statistics and the repository over HTTP."""

import pytest


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
    assert (await http.get("/v2/models/seg/segmentation")).json()["family"]["kind"] == "semantic"


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
    "path",
    [
        "logging",
        "trace/setting",
        "models/echo/trace/setting",
        "systemsharedmemory/status",
        "systemsharedmemory/region/r/register",
        "cudasharedmemory/unregister",
    ],
)
async def test_what_triton_has_beside_is_not_offered(http, path):
    for method in ("GET", "POST"):
        answer = await http.request(method, f"/v2/{path}")
        assert answer.status_code == 501
        assert answer.json() == {"error": f"/v2/{path} is not supported by this server"}
