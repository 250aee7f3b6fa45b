"""Answers: JSON bodies, and failures by the one table."""

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from segserve.core.errors import NotReady, Overloaded, TooLarge
from segserve.transport.http.answers import crash_answer, error_answer, json_answer, routing_error

REQUEST = Request({"type": "http", "method": "GET", "path": "/p", "headers": [], "server": None})


def test_json():
    answer = json_answer({"a": [2**63]}, 201)
    assert (answer.status_code, answer.body) == (201, b'{"a":[9223372036854775808]}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (NotReady("loading", retry_after_s=0.2), 503, "1"),
        (Overloaded("full", retry_after_s=1.5), 429, "2"),
        (TooLarge("large"), 400, None),
    ],
)
def test_errors(error, status, retry):
    answer = error_answer(error, "resource_exhausted")
    assert answer.status_code == status
    assert json.loads(answer.body) == {"error": error.message}
    assert answer.headers.get("retry-after") == retry
    assert answer.headers["segserve-error-kind"] == error.kind.value


async def test_routing():
    answer = await routing_error(REQUEST, HTTPException(404))
    assert json.loads(answer.body) == {"error": "unknown path /p"}
    answer = await routing_error(REQUEST, HTTPException(405, headers={"Allow": "POST"}))
    assert "GET is not allowed" in json.loads(answer.body)["error"]
    assert answer.headers["allow"] == "POST"


async def test_crashes():
    answer = crash_answer(ZeroDivisionError("oh"))
    assert answer.status_code == 500
    assert "ZeroDivisionError" in json.loads(answer.body)["error"]
    assert (await routing_error(REQUEST, ValueError())).status_code == 500
