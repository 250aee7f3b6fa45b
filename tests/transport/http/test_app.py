"""Paths, and failures as JSON."""

import pytest

INFER = "/v2/models/echo/infer"


def document(data=(1.0, 2.0), **fields):
    row = {"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return {"inputs": [row], **fields}


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


async def test_a_hint_to_retry(http):
    answer = await http.post("/v2/models/full/infer", json=document())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["segserve-error-kind"] == "overloaded"


async def test_pipelined_after_a_failure(http):
    assert (await http.post(INFER, content=b"{")).status_code == 400
    assert (await http.post(INFER, json=document())).status_code == 200


async def test_a_bug_is_logged_once_and_answered(http, caplog):
    answer = await http.get("/v2/models/bug/config")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.message for record in errors] == ["call_crashed"]
