"""An ASGI application behind uvicorn, started and stopped by its owner."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from segserve.transport.listening import BACKLOG, Listen, bind

_KEEP_ALIVE_S = 75
_LAST_WAIT_S = 2.0


class _Server(uvicorn.Server):
    """uvicorn without signal handlers, which tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """One port."""

    def __init__(self, app: ASGIApp, listen: Listen) -> None:
        self._app = app
        self._listen = listen
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; gives the port.

        Raises
        ------
        LoadFailed
            When the port cannot be had.
        """
        bound = bind(self._listen)
        port = int(bound.getsockname()[1])
        config = uvicorn.Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            backlog=BACKLOG,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        up = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait({up, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        return port

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let requests finish for up to `grace_s` seconds, then cut them."""
        if self._server is None or self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        try:
            async with asyncio.timeout(grace_s + _LAST_WAIT_S):
                await self._serving
        except TimeoutError:
            self._server.force_exit = True
