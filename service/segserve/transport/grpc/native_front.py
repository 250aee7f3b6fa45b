"""Our own HTTP/2 core as the front."""

from __future__ import annotations

import asyncio

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.transport.grpc import status_codes
from segserve.transport.grpc.failures import tell
from segserve.transport.grpc.front import GrpcOptions, Services
from segserve.transport.grpc.message_reader import Intake
from segserve.transport.grpc.methods import Method, RpcFailed
from segserve.transport.grpc.rpc import Rpc, RpcCount
from segserve.transport.grpc.rpc_head import read_head, shown
from segserve.transport.http2.connection import Connection
from segserve.transport.http2.headers import Headers
from segserve.transport.http2.lifetime import LifetimeLimits
from segserve.transport.http2.stream import Exchange, Stream
from segserve.transport.listening import BACKLOG, bind

_LOOK_S = 0.01
_FAREWELL_S = 0.5


class NativeFront:
    """Serves through `segserve.transport.http2`."""

    def __init__(self, services: Services, options: GrpcOptions) -> None:
        self._methods: dict[bytes, Method] = {
            f"/{name}/{method}".encode(): handled
            for name, service in services.items()
            for method, handled in service.items()
        }
        self._options = options
        self._intake = Intake(options.max_request_bytes, options.max_receiving_bytes)
        self._count = RpcCount(options.max_concurrent_rpcs)
        self._connections: set[Connection] = set()
        self._held: list[Connection] | None = None
        self._limits = _lifetime(options)
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""
        bound = bind(self._options.listen, reuse_port=self._options.reuse_port)
        self._server = await asyncio.get_running_loop().create_server(
            self._connected,
            sock=bound,
            backlog=BACKLOG,
        )
        return int(bound.getsockname()[1])

    def retire(self) -> None:
        """Ask callers to connect elsewhere; all is still answered, once they are connected.

        Those who connect anew are held: they shall find another server, and would come back here.
        """
        self._held = []
        for connection in tuple(self._connections):
            connection.retire()

    async def heeded(self, timeout_s: float) -> None:
        """Wait until all callers know that they shall connect elsewhere."""
        told, end = tuple(self._connections), Deadline.after(timeout_s)
        waits = True
        while waits and not end.passed():
            await asyncio.sleep(_LOOK_S)
            waits = not all(one.heeded for one in told if one in self._connections)

    def admit(self) -> None:
        """Answer those who have connected since `retire`, and all who still do."""
        held, self._held = self._held or (), None
        for connection in held:
            connection.admit()

    async def close(self, grace_s: float) -> None:
        """End: what takes longer than `grace_s` seconds is cancelled.

        Peers get a moment to close their side, since a socket that is closed with bytes unread
        takes back what it has sent.
        """
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections.intersection(self._held or ()):
            (connection.admit if connection.asked else connection.abort)()
        for connection in tuple(self._connections):
            connection.leave()
        end, farewell = Deadline.after(grace_s), NO_DEADLINE
        while self._connections and not end.passed() and not farewell.passed():
            if farewell is NO_DEADLINE and all(one.done for one in self._connections):
                farewell = Deadline.after(_FAREWELL_S)
            await asyncio.sleep(_LOOK_S)
        for connection in tuple(self._connections):
            connection.close()
        await asyncio.sleep(_LOOK_S)
        for connection in tuple(self._connections):
            connection.abort()

    def _connected(self) -> Connection:
        connection = Connection(self._accept, self._limits, self._connections)
        if self._held is not None:
            connection.hold()
            self._held.append(connection)
        return connection

    def _accept(self, stream: Stream, headers: Headers) -> Exchange | None:
        try:
            head = read_head(headers)
            method = self._method(head.path)
            self._count.enter()
        except RpcFailed as failure:
            tell(shown(dict(headers).get(b":path", b"")), failure)
            trailers = status_codes.trailers(failure.status, failure.text, failure.trailers)
            stream.end(status_codes.HEAD + trailers, request_ended=False)
            return None
        return Rpc(stream, head, method, self._intake, self._count)

    def _method(self, path: bytes) -> Method:
        method = self._methods.get(path)
        if method is None:
            text = f"Method not found! This server has no /{shown(path)}"
            raise RpcFailed("UNIMPLEMENTED", text)
        return method


def _lifetime(options: GrpcOptions) -> LifetimeLimits:
    def seconds(value_ms: int) -> float | None:
        return value_ms / 1e3 if value_ms else None

    return LifetimeLimits(
        keepalive_s=options.keepalive_time_ms / 1e3,
        keepalive_timeout_s=options.keepalive_timeout_ms / 1e3,
        max_age_s=seconds(options.max_connection_age_ms),
        max_age_grace_s=seconds(options.max_connection_age_grace_ms),
    )
