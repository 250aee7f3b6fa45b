"""What a call's headers say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from segserve.transport.grpc.methods import RpcFailed
from segserve.transport.http2.headers import Headers

_MAX_PATH = 200
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


@dataclass(frozen=True)
class RpcHead:
    """What a call's headers say."""

    path: bytes
    timeout_s: float | None
    encoding: bytes
    metadata: tuple[tuple[str, str | bytes], ...]

    @property
    def method(self) -> str:
        """What is called, as service and method, cut where it is longer than names are."""
        return shown(self.path)


def shown(path: bytes) -> str:
    """Write a call's path for a person to read."""
    return path[:_MAX_PATH].decode("latin-1").removeprefix("/")


@lru_cache(maxsize=128)
def read_head(headers: Headers) -> RpcHead:
    """Read a call's headers.

    Raises
    ------
    RpcFailed
        For what is no gRPC call.
    """
    fields = dict(headers)
    if fields.get(b":method") != b"POST" or not fields.get(b"content-type", b"").startswith(
        b"application/grpc"
    ):
        raise RpcFailed(
            "INVALID_ARGUMENT",
            "a gRPC call is a POST with content-type application/grpc; HTTP requests go to the "
            "port of --http-port",
        )
    timeout_s = None
    if b"grpc-timeout" in fields:
        timeout = _TIMEOUT.fullmatch(fields[b"grpc-timeout"])
        if timeout is None:
            raise RpcFailed("INVALID_ARGUMENT", "grpc-timeout: expected digits and a unit")
        timeout_s = int(timeout[1]) * _UNIT_S[timeout[2]]
    metadata = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if not name.startswith(b":")
    )
    return RpcHead(
        fields.get(b":path", b""), timeout_s, fields.get(b"grpc-encoding", b""), metadata
    )
