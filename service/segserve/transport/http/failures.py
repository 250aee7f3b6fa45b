"""Failures over HTTP, logged where they are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from segserve.core.errors import ServiceError
from segserve.transport import refusals

Owner = TypeVar("Owner")
Method = Callable[[Owner, Request], Awaitable[Response]]


def told(endpoint: Method[Owner]) -> Method[Owner]:
    """Wrap an endpoint, a method, so that its failures are logged unless the log has them."""

    @wraps(endpoint)
    async def answer(owner: Owner, request: Request) -> Response:
        try:
            return await endpoint(owner, request)
        except ServiceError as error:
            refusals.tell(f"{request.method} {request.url.path}", error)
            raise

    return answer
