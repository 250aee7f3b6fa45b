"""The gRPC server: ports, limits, the order of stopping."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from segserve.core.deadline import Deadline
from segserve.core.errors import LoadFailed
from segserve.transport.grpc import health, reflection, segmentation, servicer
from segserve.transport.grpc.calls import Calls
from segserve.transport.status import OverloadStatus

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

log = logging.getLogger(__name__)
_NO_LIMIT = -1
_NEVER_MS = 2**31 - 1
_CLOSING_S = 0.5


@dataclass(frozen=True)
class GrpcOptions:
    """How the server listens.

    Parameters
    ----------
    address : str
    port : int
        0 for any free one.
    reuse_port : bool
        Several servers may share the port.
    max_request_bytes : int
        Longer messages are refused by grpcio (RESOURCE_EXHAUSTED).
    max_concurrent_rpcs : int or None
        Further calls are refused by grpcio (RESOURCE_EXHAUSTED).
    keepalive_time_ms, keepalive_timeout_ms : int
    max_connection_age_ms, max_connection_age_grace_ms : int
        0 for no limit.
    overload_status : {"unavailable", "resource_exhausted"}
    """

    address: str = "127.0.0.1"
    port: int = 0
    reuse_port: bool = False
    max_request_bytes: int = 2**31 - 1
    max_concurrent_rpcs: int | None = None
    keepalive_time_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    max_connection_age_ms: int = 0
    max_connection_age_grace_ms: int = 0
    overload_status: OverloadStatus = "unavailable"


class GrpcServer:
    """Serves an engine over gRPC."""

    def __init__(self, engine: Engine, options: GrpcOptions) -> None:
        self._engine = engine
        self._options = options
        self._calls: Calls | None = None
        self._health: health.HealthServicer | None = None
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._options.address

    async def start(self) -> int:
        """Listen; gives the port.

        Raises
        ------
        LoadFailed
            When the port cannot be had.
        """
        options = self._options
        calls = Calls(options.overload_status)
        services = frozenset((servicer.SERVICE, segmentation.SERVICE))
        told = health.HealthServicer(self._engine, calls, services)
        server = grpc.aio.server(
            options=_arguments(options), maximum_concurrent_rpcs=options.max_concurrent_rpcs
        )
        server.add_generic_rpc_handlers(
            (
                servicer.InferenceServicer(self._engine, calls).handler(),
                segmentation.SegmentationServicer(self._engine, calls).handler(),
                told.handler(),
                *reflection.handlers((*services, health.SERVICE)),
            )
        )
        port = _bind(server, options)
        await server.start()
        self._calls, self._health, self._server = calls, told, server
        return port

    async def stop(self, grace_s: float) -> None:
        """Answer new calls with a hint to retry, let those that run finish, then close.

        Parameters
        ----------
        grace_s : float
            Calls that take longer are cancelled.
        """
        if self._server is None or self._calls is None or self._health is None:
            return
        self._calls.refusing = True
        self._health.close()
        end = Deadline.after(grace_s)
        if not await self._calls.wait_idle(grace_s):
            log.warning("grpc_calls_cancelled", extra={"calls": self._calls.running})
        # The last answers may still be on their way, and what crosses the GOAWAY shall be answered.
        await self._server.stop(max(end.remaining_s(), _CLOSING_S))


def _arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    """Give the channel arguments: grpc/include/grpc/impl/channel_arg_names.h."""
    return [
        ("grpc.max_receive_message_length", options.max_request_bytes),
        ("grpc.max_send_message_length", _NO_LIMIT),
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.keepalive_time_ms", options.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout_ms),
        ("grpc.max_connection_age_ms", options.max_connection_age_ms or _NEVER_MS),
        ("grpc.max_connection_age_grace_ms", options.max_connection_age_grace_ms or _NEVER_MS),
    ]


def _bind(server: grpc.aio.Server, options: GrpcOptions) -> int:
    host = f"[{options.address}]" if ":" in options.address else options.address
    target = f"{host}:{options.port}"
    try:
        port = server.add_insecure_port(target)
    except RuntimeError as error:
        raise LoadFailed(
            f"cannot listen for gRPC on {target}: {error}; is another server running there? Choose "
            f"another port with --grpc-port"
        ) from error
    if port == 0:
        raise LoadFailed(f"cannot listen for gRPC on {target}; choose another --grpc-port")
    return port
