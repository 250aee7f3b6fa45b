"""Failures over HTTP leave one line in the log."""

import asyncio

import pytest

ROW = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
CASES = [
    ("POST", "/v2/models/nothing/infer", {"id": "r1", "inputs": [ROW]}, "r1", "OTHER"),
    ("POST", "/v2/models/full/infer", {"id": "r1", "inputs": [ROW]}, "r1", "REJECTED"),
    ("POST", "/v2/models/echo/infer", {"id": "r1", "inputs": [{}]}, "r1", "OTHER"),
    ("POST", "/v2/models/echo/infer", [], "<id_unknown>", "OTHER"),
    ("POST", "/v2/models/echo/versions/x/infer", {}, "<id_unknown>", "OTHER"),
    ("GET", "/v2/models/nothing/config", None, "<id_unknown>", "OTHER"),
    ("GET", "/v2/models/echo/infer", None, "<id_unknown>", "OTHER"),
    ("GET", "/v3", None, "<id_unknown>", "OTHER"),
]


@pytest.mark.parametrize("case", CASES, ids=[" ".join(case[:2]) for case in CASES])
async def test_a_refused_call(http, caplog, case):
    method, path, body, *told = case
    answer = await http.request(method, path, json=body)
    assert answer.status_code >= 400
    (line,) = [r for r in caplog.records if r.message == "request_failed"]
    assert [line.request_id, line.reason] == told
    assert line.method == f"{method} {path}"
    assert line.error == answer.json()["error"]


async def test_a_body_over_the_limit(http, caplog):
    await http.post("/v2/models/echo/infer", content=bytes(1_000_001))
    (line,) = [r for r in caplog.records if r.message == "request_failed"]
    assert "--max-request-bytes" in line.error


async def test_a_caller_that_goes_is_not_answered_and_not_told(http, engine, caplog):
    asking = asyncio.create_task(http.post("/v2/models/hang/infer", json={"inputs": [ROW]}))
    await engine.wait_requests()
    asking.cancel()
    async with asyncio.timeout(10):
        await engine.cancelled.wait()
    await asyncio.sleep(0.02)
    assert not [r for r in caplog.records if r.message == "request_failed"]
