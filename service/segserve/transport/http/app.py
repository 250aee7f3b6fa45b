"""The HTTP application: paths, and what becomes of errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from segserve.core.errors import Cancelled, ServiceError
from segserve.transport.http.answers import crash_answer, error_answer, routing_error
from segserve.transport.http.endpoints import Endpoints
from segserve.transport.http.inference import InferEndpoint
from segserve.transport.status import OverloadStatus

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]
_METHODS = ("GET", "POST")
NOT_OFFERED = (
    "/v2/logging",
    "/v2/trace/setting",
    "/v2/models/{model}/trace/setting",
    "/v2/systemsharedmemory/{rest:path}",
    "/v2/cudasharedmemory/{rest:path}",
)
"""Triton's paths that answer as the rpcs of the same name do."""


def build_app(
    engine: Engine, *, max_request_bytes: int, overload: OverloadStatus = "unavailable"
) -> Starlette:
    """Build the application over an engine."""
    told = Endpoints(engine, max_request_bytes)
    infer = InferEndpoint(engine, max_request_bytes)

    def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        return Route(path, _answering(endpoint, overload), methods=[method])

    def model_routes(suffix: str, endpoint: Endpoint, method: str = "GET") -> list[Route]:
        prefixes = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        return [route(prefix + suffix, endpoint, method) for prefix in prefixes]

    routes = [
        route("/v2", told.server_metadata),
        route("/v2/health/live", told.live),
        route("/v2/health/ready", told.ready),
        route("/v2/models", told.models),
        route("/v2/models/stats", told.model_statistics),
        *model_routes("", told.model_metadata),
        *model_routes("/infer", infer.answer, "POST"),
        *model_routes("/ready", told.model_ready),
        *model_routes("/config", told.model_config),
        *model_routes("/stats", told.model_statistics),
        *model_routes("/segmentation", told.segmentation),
        route("/v2/repository/index", told.repository_index, "POST"),
        route("/v2/repository/models/{model}/load", told.load, "POST"),
        route("/v2/repository/models/{model}/unload", told.unload, "POST"),
        *(route(path, told.not_offered, method) for path in NOT_OFFERED for method in _METHODS),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: routing_error})
    app.router.redirect_slashes = False
    return app


def _answering(endpoint: Endpoint, overload: OverloadStatus) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ServiceError as error:
            return error_answer(error, overload)
        except ClientDisconnect:
            return error_answer(Cancelled("the caller has gone"), overload)
        except Exception as error:  # the border where unforeseen failures become answers
            log.exception("call_crashed", extra={"path": request.url.path})
            return crash_answer(error)

    return answer
