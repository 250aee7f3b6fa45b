"""The metrics port."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segserve.transport.http.answers import routing_error
from segserve.transport.http.listener import Listener
from segserve.transport.listening import Listen

_TEXT = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text exposition format


class MetricsServer:
    """Serves ``GET /metrics``.

    Parameters
    ----------
    render : callable
        Gives the text, in Prometheus' exposition format.
    address : str
    port : int
        0 for any free one.
    """

    def __init__(self, render: Callable[[], bytes], address: str, port: int) -> None:
        async def metrics(_request: Request) -> Response:
            return Response(render(), media_type=_TEXT)

        app = Starlette(
            routes=[Route("/metrics", metrics)], exception_handlers={HTTPException: routing_error}
        )
        self._listener = Listener(app, Listen(address, port, "metrics", "--metrics-port"))
        self.address = address

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""
        return await self._listener.start()

    async def stop(self, grace_s: float) -> None:
        """Close."""
        await self._listener.stop(grace_s)
