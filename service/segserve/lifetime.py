"""What lives as long as the process: opened before the models load, stopped from the outside in."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from segserve.core.deadline import Deadline
from segserve.observability.gpus import GpuWatch
from segserve.observability.metrics import Metrics
from segserve.serving.control import ModelControl
from segserve.serving.cpu_side import CpuSide
from segserve.serving.engine import Engine
from segserve.transport.grpc.server import GrpcServer
from segserve.transport.http.metrics import MetricsServer
from segserve.transport.http.server import HttpServer

log = logging.getLogger(__name__)
_LAST_WAIT_S = 0.5  # what models and their loads get to end when requests took all the time


@dataclass(frozen=True)
class StopTimes:
    """How long stopping may take.

    Parameters
    ----------
    drain_delay_s : float
        Serve on while not ready.
    exit_timeout_s : float
        From then on, what running requests and then models get to end.
    """

    drain_delay_s: float
    exit_timeout_s: float


@dataclass(frozen=True)
class Application:
    """Everything that lives as long as the process."""

    stop_times: StopTimes
    engine: Engine
    control: ModelControl
    cpu: CpuSide
    metrics: Metrics
    gpus: GpuWatch | None
    grpc: GrpcServer | None
    http: HttpServer | None
    metrics_server: MetricsServer | None


async def listen(app: Application) -> None:
    """Open the ports before the models load, so that liveness is green and readiness tells.

    Raises
    ------
    LoadFailed
        When a port cannot be had.
    """
    servers = {"grpc": app.grpc, "http": app.http, "metrics": app.metrics_server}
    for protocol, server in servers.items():
        if server is not None:
            port = await server.start()
            fields = {"protocol": protocol, "address": server.address, "port": port}
            log.info("listening", extra=fields)
    if app.gpus is not None:
        app.gpus.start()


async def shut_down(app: Application) -> bool:
    """Not ready first, then serve on for the drain delay, then stop from the outside in.

    HTTP's port is among the last to close, so that liveness stays green.

    Returns
    -------
    bool
        Whether everything has ended. If not, a thread of this process hangs in code that cannot be
        interrupted, and an interpreter that ends would wait for it.
    """
    exit_timeout_s = app.stop_times.exit_timeout_s
    app.engine.begin_drain()
    await asyncio.sleep(app.stop_times.drain_delay_s)
    deadline = Deadline.after(exit_timeout_s)
    draining = [app.grpc.stop(exit_timeout_s)] if app.grpc else []
    draining += [app.http.drain(exit_timeout_s)] if app.http else []
    await asyncio.gather(*draining)
    last_s = max(deadline.remaining_s(), _LAST_WAIT_S)
    stopped, hanging = await asyncio.gather(
        _stop_models(app, last_s), app.control.wait_loads(_LAST_WAIT_S)
    )
    if hanging:
        log.warning("load_abandoned", extra={"models": list(hanging)})
    await asyncio.gather(*(s.stop(0.0) for s in (app.http, app.metrics_server) if s is not None))
    if app.gpus is not None:
        app.gpus.stop()
    log.info("stopped")
    return stopped and not hanging


async def _stop_models(app: Application, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await app.engine.stop()
            await app.cpu.close()
    except TimeoutError:
        log.warning("exit_timed_out", extra={"seconds": app.stop_times.exit_timeout_s})
        return False
    return True
