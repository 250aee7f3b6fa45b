"""The HTTP server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segserve.transport.http.app import build_app
from segserve.transport.http.listener import Listener
from segserve.transport.listening import Listen
from segserve.transport.status import OverloadStatus

if TYPE_CHECKING:
    from segserve.serving.engine import Engine


@dataclass(frozen=True)
class HttpOptions:
    """How the server listens.

    Parameters
    ----------
    address : str
    port : int
        0 for any free one.
    max_request_bytes : int
        Of a body, before and after decompression.
    overload_status : {"unavailable", "resource_exhausted"}
    """

    address: str = "127.0.0.1"
    port: int = 0
    max_request_bytes: int = 2**31 - 1
    overload_status: OverloadStatus = "unavailable"


class HttpServer:
    """Serves an engine over HTTP."""

    def __init__(self, engine: Engine, options: HttpOptions) -> None:
        app = build_app(
            engine,
            max_request_bytes=options.max_request_bytes,
            overload=options.overload_status,
        )
        self._closing = _Closing(app, engine)
        self._listener = Listener(
            self._closing, Listen(options.address, options.port, "HTTP", "--http-port")
        )
        self.address = options.address

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""
        return await self._listener.start()

    async def stop(self, grace_s: float) -> None:
        """Close connections as their requests end; cut what takes longer than `grace_s` seconds."""
        self._closing.closing = True
        await self._listener.stop(grace_s)


class _Closing:
    """Tells callers to connect anew, once the engine drains or the server is `closing`."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            leaving = self.closing or self._engine.draining
            if leaving and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, told)
