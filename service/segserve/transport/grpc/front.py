"""What moves the bytes of gRPC: either our own HTTP/2 core or grpcio, chosen at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from segserve.transport.grpc.methods import Service
from segserve.transport.listening import Listen
from segserve.transport.status import OverloadStatus

FrontName = Literal["native", "grpcio"]
Services = Mapping[str, Service]


@dataclass(frozen=True)
class GrpcOptions:
    """How the server listens.

    Parameters
    ----------
    front : {"native", "grpcio"}
        What moves the bytes.
    address : str
    port : int
        0 for any free one.
    reuse_port : bool
        Several servers may share the port.
    max_request_bytes : int
        Longer messages are refused (RESOURCE_EXHAUSTED).
    max_receiving_bytes : int
        Of all messages that are on their way together; grpcio does not count them.
    max_concurrent_rpcs : int or None
        Further calls are refused (RESOURCE_EXHAUSTED).
    keepalive_time_ms, keepalive_timeout_ms : int
    max_connection_age_ms, max_connection_age_grace_ms : int
        0 for no limit.
    overload_status : {"unavailable", "resource_exhausted"}
    """

    front: FrontName = "native"
    address: str = "127.0.0.1"
    port: int = 0
    reuse_port: bool = False
    max_request_bytes: int = 2**31 - 1
    max_receiving_bytes: int = 4 << 30
    max_concurrent_rpcs: int | None = None
    keepalive_time_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    max_connection_age_ms: int = 0
    max_connection_age_grace_ms: int = 0
    overload_status: OverloadStatus = "unavailable"

    @property
    def listen(self) -> Listen:
        """Where the server listens."""
        return Listen(self.address, self.port, "gRPC", "--grpc-port")


class Front(Protocol):
    """A listening port."""

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""

    def retire(self) -> None:
        """Ask callers to connect elsewhere; those who are connected are still answered."""

    async def heeded(self, timeout_s: float) -> None:
        """Wait until all callers know that."""

    def admit(self) -> None:
        """Answer those as well who have connected since."""

    async def close(self, grace_s: float) -> None:
        """End: what takes longer than `grace_s` seconds is cancelled."""
