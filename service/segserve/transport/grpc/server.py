"""The gRPC server: its services, and the order of stopping."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from segserve.core.deadline import Deadline
from segserve.transport.grpc import health, reflection, segmentation, servicer
from segserve.transport.grpc.calls import Calls
from segserve.transport.grpc.front import Front, GrpcOptions, Services
from segserve.transport.grpc.native_front import NativeFront

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

log = logging.getLogger(__name__)
_CLOSING_S = 0.5
_HEED_S = 0.5
_HOLD_S = 0.5


class GrpcServer:
    """Serves an engine over gRPC."""

    def __init__(self, engine: Engine, options: GrpcOptions) -> None:
        self._engine = engine
        self._options = options
        self._calls: Calls | None = None
        self._health: health.HealthServicer | None = None
        self._front: Front | None = None

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
        calls = Calls(self._options.overload_status)
        described = (servicer.SERVICE, segmentation.SERVICE)
        told = health.HealthServicer(self._engine, calls, frozenset(described))
        reflected = reflection.methods((*described, health.SERVICE), calls)
        front = _front(
            {
                servicer.SERVICE: servicer.InferenceServicer(self._engine, calls).methods(),
                segmentation.SERVICE: segmentation.SegmentationServicer(
                    self._engine, calls
                ).methods(),
                health.SERVICE: told.methods(),
                **dict.fromkeys(reflection.SERVICES, reflected),
            },
            self._options,
        )
        port = await front.start()
        self._calls, self._health, self._front = calls, told, front
        return port

    async def stop(self, grace_s: float) -> None:
        """Send callers elsewhere, let what runs finish, and close.

        What crosses the word to leave is served. If something runs for long, those who come back
        all the same are answered, with a hint to retry.

        Parameters
        ----------
        grace_s : float
            Calls that take longer are cancelled.
        """
        if self._front is None or self._calls is None or self._health is None:
            return
        end = Deadline.after(grace_s)
        self._front.retire()
        await self._front.heeded(min(_HEED_S, grace_s))
        self._calls.refuse()
        self._health.close()
        if not await self._wait_idle(end):
            log.warning("grpc_calls_cancelled", extra={"calls": self._calls.running})
        # The last answers may still be on their way, and what crosses the GOAWAY shall be answered.
        await self._front.close(max(end.remaining_s(), _CLOSING_S))

    async def _wait_idle(self, end: Deadline) -> bool:
        if self._calls is None or self._front is None:
            return True
        if await self._calls.wait_idle(min(_HOLD_S, end.remaining_s())):
            return True
        self._front.admit()
        return await self._calls.wait_idle(end.remaining_s())


def _front(services: Services, options: GrpcOptions) -> Front:
    if options.front == "native":
        return NativeFront(services, options)
    from segserve.transport.grpc.grpcio_front import GrpcioFront  # noqa: PLC0415  only if chosen

    return GrpcioFront(services, options)
