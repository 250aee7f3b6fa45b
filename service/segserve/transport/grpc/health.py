"""``grpc.health.v1.Health``: Check, and Watch that pushes every change.

Names: empty and KServe's service stand for the server, ``model/<name>`` and
``model/<name>/<version>`` for a model. The name of our own service is for clients that choose among
several servers: a model that failed to load does not make it unhealthy, as the others go on.
Protocol: https://github.com/grpc/grpc/blob/master/doc/
health-checking.md.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2 as pb

from segserve.core.errors import InvalidInput, NotFound
from segserve.core.messages import ModelRef
from segserve.transport.grpc import codec
from segserve.transport.grpc.calls import Calls
from segserve.transport.grpc.methods import RpcContext, Service
from segserve.transport.grpc.segmentation import SERVICE as SEGMENTATION
from segserve.transport.tensor_bytes import Buffer

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

SERVICE = "grpc.health.v1.Health"
_MODEL = re.compile(r"model/([^/]+)(?:/([0-9]{1,18}))?")
_SERVING = pb.HealthCheckResponse.SERVING
_NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
_UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer:
    """Tells readiness; watches end when the server stops."""

    def __init__(self, engine: Engine, calls: Calls, services: frozenset[str]) -> None:
        self._engine = engine
        self._calls = calls
        self._services = services | {""}
        self._watches: set[asyncio.Event] = set()
        self._closed = False
        self._unsubscribe = engine.subscribe(self.changed)

    def methods(self) -> Service:
        """Give what a gRPC server serves; a watch does not hold the server back from stopping."""
        return {
            "Check": self._calls.unary(f"{SERVICE}/Check", self.check),
            "Watch": self._calls.stream(f"{SERVICE}/Watch", self.watch, counted=False),
        }

    async def check(self, message: Buffer, _context: RpcContext) -> bytes:
        """Tell a status once; NOT_FOUND for a name that nobody has."""
        service = codec.parse(pb.HealthCheckRequest, message).service
        status = self._status(service)
        if status == _UNKNOWN:
            raise NotFound(f"unknown service '{service}': expected a service or model/<name>")
        return _written(status)

    async def watch(self, messages: AsyncIterator[Buffer], context: RpcContext) -> None:
        """Tell a status now, and whenever it changes."""
        async for message in messages:
            service = codec.parse(pb.HealthCheckRequest, message).service
            break
        else:
            raise InvalidInput("expected one HealthCheckRequest, got none")
        changed = asyncio.Event()
        self._watches.add(changed)
        told = None
        try:
            while True:
                changed.clear()
                status = self._status(service)
                if status != told:
                    told = status
                    await context.write(_written(status))
                if self._closed:
                    return
                await changed.wait()
        finally:
            self._watches.discard(changed)

    def changed(self) -> None:
        """Let every watch look again; called on the event loop."""
        for watch in self._watches:
            watch.set()

    def close(self) -> None:
        """Push NOT_SERVING to all watches and end them."""
        self._unsubscribe()
        self._closed = True
        self.changed()

    def _status(self, service: str) -> int:
        model = _MODEL.fullmatch(service)
        if model is None and service not in self._services:
            return int(_UNKNOWN)
        if self._calls.refusing:
            return int(_NOT_SERVING)
        ready = self._server_ready(service) if model is None else self._model_ready(model)
        if ready is None:
            return int(_UNKNOWN)
        return int(_SERVING if ready else _NOT_SERVING)

    def _server_ready(self, service: str) -> bool:
        return self._engine.accepting() if service == SEGMENTATION else self._engine.ready()

    def _model_ready(self, match: re.Match[str]) -> bool | None:
        """Give a model's readiness, None when the repository has no such model."""
        name, version = match.groups()
        if self._engine.model_ready(ModelRef(name, int(version) if version else None)):
            return True
        known = any(row.name == name for row in self._engine.repository_index(ready_only=False))
        return False if known else None


def _written(status: int) -> bytes:
    message: Any = pb.HealthCheckResponse(status=status)
    data: bytes = message.SerializeToString()
    return data
