"""The HTTP server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segserve.core.errors import ShuttingDown
from segserve.transport import refusals
from segserve.transport.http.answers import error_answer
from segserve.transport.http.app import build_app
from segserve.transport.http.listener import Listener
from segserve.transport.listening import Listen
from segserve.transport.status import OverloadStatus

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

log = logging.getLogger(__name__)
_RETRY_ELSEWHERE_S = 1.0
_LAST_WAIT_S = 0.5
_MAX_PATH = 200


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
        self._door = _Door(app, engine, options.overload_status)
        self._listener = Listener(
            self._door, Listen(options.address, options.port, "HTTP", "--http-port")
        )
        self.address = options.address

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""
        return await self._listener.start()

    async def drain(self, grace_s: float) -> None:
        """Refuse inference from now on, and let what runs end; cut it after `grace_s` seconds.

        Everything else is answered as before: probes want to see a server that stops alive.
        """
        self._door.refusing = True
        await self._door.empty(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Drain, then close the port; cut what takes longer than `grace_s` seconds."""
        await self.drain(grace_s)
        await self._listener.stop(0.0)


class _Door:
    """Knows what is in flight; tells callers to connect anew once the engine drains."""

    def __init__(self, app: ASGIApp, engine: Engine, overload: OverloadStatus) -> None:
        self._app = app
        self._engine = engine
        self._overload: OverloadStatus = overload
        self._running: set[asyncio.Task[None]] = set()
        self._cut: set[asyncio.Task[None]] = set()
        self.refusing = False

    async def empty(self, grace_s: float) -> None:
        """Wait for what is in flight; what takes longer than `grace_s` seconds is refused."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_s)
        self._cut = set(self._running)
        for task in self._cut:
            task.cancel()
        if self._cut:
            log.warning("http_requests_cancelled", extra={"requests": len(self._cut)})
            await asyncio.wait(self._cut, timeout=_LAST_WAIT_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            leaving = self.refusing or self._engine.draining
            if leaving and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        task = cast("asyncio.Task[None]", asyncio.current_task())  # uvicorn makes one a request
        self._running.add(task)
        try:
            if self.refusing and scope["path"].endswith("/infer"):
                refusals.tell(f"{scope['method']} {scope['path'][:_MAX_PATH]}", _stopping())
                await self._refusal(scope, receive, told)
            else:
                await self._app(scope, receive, told)
        except asyncio.CancelledError:
            if task not in self._cut or begun:
                raise
            await self._refusal(scope, receive, told)  # the engine has told of it
        finally:
            self._running.discard(task)

    async def _refusal(self, scope: Scope, receive: Receive, send: Send) -> None:
        await error_answer(_stopping(), self._overload)(scope, receive, send)


def _stopping() -> ShuttingDown:
    return ShuttingDown(
        "Server is stopping, scheduler for model has stopped accepting new inference requests",
        retry_after_s=_RETRY_ELSEWHERE_S,
    )
