"""An ASGI application behind uvicorn, started and stopped by its owner."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from segserve.core.errors import LoadFailed

_KEEP_ALIVE_S = 75
_BACKLOG = 2048
_LAST_WAIT_S = 2.0


@dataclass(frozen=True)
class Listen:
    """Where to listen, and what for.

    Parameters
    ----------
    address : str
    port : int
        0 for any free one.
    what, flag : str
        For messages: the protocol, and the flag that chooses the port.
    """

    address: str
    port: int
    what: str
    flag: str


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
        bound = _bind(self._listen)
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
            backlog=_BACKLOG,
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


def _bind(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
    try:
        return socket.create_server((listen.address, listen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise LoadFailed(
            f"cannot listen for {listen.what} on {listen.address}:{listen.port}: {error}; is "
            f"another server running there? Choose another port with {listen.flag}"
        ) from error
