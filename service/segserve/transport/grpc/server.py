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
        """Answer new calls with a hint to retry, let those that run finish, then close.

        Parameters
        ----------
        grace_s : float
            Calls that take longer are cancelled.
        """
        if self._front is None or self._calls is None or self._health is None:
            return
        self._calls.refuse()
        self._health.close()
        self._front.retire()
        end = Deadline.after(grace_s)
        if not await self._calls.wait_idle(grace_s):
            log.warning("grpc_calls_cancelled", extra={"calls": self._calls.running})
        # The last answers may still be on their way, and what crosses the GOAWAY shall be answered.
        await self._front.close(max(end.remaining_s(), _CLOSING_S))


def _front(services: Services, options: GrpcOptions) -> Front:
    if options.front == "native":
        return NativeFront(services, options)
    from segserve.transport.grpc.grpcio_front import GrpcioFront  # noqa: PLC0415  only if chosen

    return GrpcioFront(services, options)
