"""Answers over HTTP: JSON bodies, and failures by the one table of statuses."""

from __future__ import annotations

import json
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from segserve.core.errors import BackendFailed, ServiceError
from segserve.transport import refusals
from segserve.transport.status import OverloadStatus, message_of, status_of

_MAX_PATH = 200
_OTHER = "OTHER"


def json_answer(value: object, status: int = 200) -> Response:
    """Give a JSON body."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return Response(data, status, media_type="application/json")


def error_answer(error: ServiceError, overload: OverloadStatus) -> Response:
    """Give ``{"error": text}`` with the status of the error's kind, and a hint when to retry."""
    answer = json_answer({"error": message_of(error)}, status_of(error.kind, overload).http)
    answer.headers["segserve-error-kind"] = error.kind.value
    if error.retry_after_s is not None:
        answer.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    return answer


async def routing_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method."""
    if not isinstance(error, HTTPException):
        return crash_answer(error)
    texts = {
        404: f"unknown path {request.url.path}",
        405: f"method {request.method} is not allowed for {request.url.path}",
    }
    text = texts.get(error.status_code, error.detail)
    shown = request.url.path[:_MAX_PATH]
    refusals.tell_text(f"{request.method} {shown}", _OTHER, text)
    answer = json_answer({"error": text}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def crash_answer(error: Exception) -> Response:
    """Answer what nobody foresaw."""
    return error_answer(BackendFailed(f"internal error: {error!r}"), "unavailable")
