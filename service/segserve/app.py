"""The composition root: the only module that knows every class, and the process's signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import uvloop

from segserve import __version__
from segserve.core.errors import ServiceError
from segserve.execution.cores import available_cores
from segserve.execution.cpu_pool import CpuPool
from segserve.execution.waiting_room import RoomLimits, WaitingRoom
from segserve.lifetime import Application, StopTimes, listen, shut_down
from segserve.observability.gpus import GpuWatch
from segserve.observability.latency_forms import read_forms
from segserve.observability.logging import setup_logging
from segserve.observability.metrics import GaugeSource, Metrics
from segserve.observability.tracing import NoTracer, OtlpTracer, Tracer
from segserve.repository.store import RepositoryStore
from segserve.scheduling.admission import Admission
from segserve.serving.control import ControlPolicy, ModelControl
from segserve.serving.cpu_side import CpuSide
from segserve.serving.engine import Engine, ServerIdentity
from segserve.serving.loader import Loader
from segserve.serving.refine_queue import NICE, RefineLimits, RefineQueue
from segserve.serving.registry import Registry
from segserve.settings import Settings
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.server import GrpcServer
from segserve.transport.http.metrics import MetricsServer
from segserve.transport.http.server import HttpOptions, HttpServer

log = logging.getLogger(__name__)
_SWITCH_INTERVAL_S = 5e-4  # how long a thread keeps the GIL when another wants it


def build(settings: Settings) -> Application:
    """Wire the parts together; starts nothing."""
    cpu = _cpu_side(settings)
    metrics = Metrics(read_forms(settings.metrics_config))
    admission = Admission(
        max_bytes=settings.max_pending_bytes, max_requests=settings.max_concurrent_rpcs
    )
    registry = Registry(drain_timeout_s=settings.exit_timeout_secs)
    loader = Loader(
        cpu,
        metrics,
        max_image_pixels=settings.max_image_pixels,
        auto_complete=not settings.disable_auto_complete_config,
    )
    policy = ControlPolicy(
        mode=settings.model_control_mode.value,
        poll_s=settings.repository_poll_secs,
        load_at_start=settings.load_model,
        load_threads=settings.model_load_thread_count,
    )
    store = RepositoryStore(settings.model_repository, model_name=settings.model_name)
    control = ModelControl(policy, store, loader, registry)
    identity = ServerIdentity("segserve", __version__, settings.strict_readiness)
    engine = Engine(identity, registry, control, admission, _tracer(settings))
    _add_gauges(metrics, admission, registry)
    _add_queue_gauges(metrics, cpu)
    gpus = GpuWatch() if settings.allow_metrics and settings.allow_gpu_metrics else None
    if gpus is not None:
        metrics.add_gpus(gpus.states)
    return Application(
        stop_times=StopTimes(settings.drain_delay, settings.exit_timeout_secs),
        engine=engine,
        control=control,
        cpu=cpu,
        metrics=metrics,
        gpus=gpus,
        grpc=GrpcServer(engine, _grpc_options(settings)) if settings.allow_grpc else None,
        http=HttpServer(engine, _http_options(settings)) if settings.allow_http else None,
        metrics_server=(
            MetricsServer(metrics.render, settings.metrics_address, settings.metrics_port)
            if settings.allow_metrics
            else None
        ),
    )


def _cpu_side(settings: Settings) -> CpuSide:
    pool = CpuPool(settings.cpu_threads or available_cores())
    refinements = RefineLimits(
        threads=max(1, pool.cores // 2),
        max_waiting=settings.refine_queue_size,
        max_bytes=settings.refine_queue_bytes,
    )
    return CpuSide(
        pool=pool,
        aside=CpuPool(refinements.threads, "segserve-aside", NICE),
        room=WaitingRoom(RoomLimits(settings.cpu_queue_size, settings.cpu_queue_bytes)),
        refinements=RefineQueue(refinements),
        worker_bytes=settings.worker_memory_bytes,
    )


def _tracer(settings: Settings) -> Tracer:
    if settings.otlp_endpoint:
        return OtlpTracer(settings.otlp_endpoint, __version__)
    return NoTracer()


def _grpc_options(settings: Settings) -> GrpcOptions:
    return GrpcOptions(
        front=settings.grpc_front.value,
        address=settings.grpc_address,
        port=settings.grpc_port,
        reuse_port=settings.reuse_grpc_port,
        max_request_bytes=settings.max_request_bytes,
        max_receiving_bytes=settings.max_pending_bytes,
        max_concurrent_rpcs=settings.max_concurrent_rpcs,
        keepalive_time_ms=settings.grpc_keepalive_time,
        keepalive_timeout_ms=settings.grpc_keepalive_timeout,
        max_connection_age_ms=settings.grpc_max_connection_age,
        max_connection_age_grace_ms=settings.grpc_max_connection_age_grace,
        overload_status=settings.overload_status.value,
    )


def _http_options(settings: Settings) -> HttpOptions:
    return HttpOptions(
        address=settings.http_address,
        port=settings.http_port,
        max_request_bytes=settings.max_request_bytes,
        overload_status=settings.overload_status.value,
    )


def _add_gauges(metrics: Metrics, admission: Admission, registry: Registry) -> None:
    metrics.add_gauge(
        GaugeSource(
            "segserve_admitted_bytes",
            "Memory that the admitted requests were counted at, in bytes",
            (),
            lambda: [((), float(admission.bytes_in_use))],
        )
    )
    metrics.add_gauge(
        GaugeSource(
            "nv_inference_pending_request_count",
            "Images that wait for an execution slot",
            ("model", "version"),
            lambda: [
                ((name, str(version)), float(served.parts.lanes.pending()))
                for name in registry.names()
                for version, served in registry.ready_versions(name).items()
            ],
        )
    )


def _add_queue_gauges(metrics: Metrics, cpu: CpuSide) -> None:
    def plain(name: str, text: str, read: Callable[[], int]) -> GaugeSource:
        return GaugeSource(name, text, (), lambda: [((), float(read()))])

    room, refinements = cpu.room, cpu.refinements
    for source in (
        GaugeSource(
            "segserve_cpu_queue_length",
            "Pieces of work that wait for a core, by kind of request and step",
            ("kind", "step"),
            lambda: [(labels, float(count)) for labels, count in cpu.pool.waiting().items()],
        ),
        plain("segserve_waiting_images", "Images that wait to be decoded", lambda: room.images),
        plain(
            "segserve_waiting_bytes",
            "Memory that images which wait to be decoded were counted at, in bytes",
            lambda: room.bytes_in_use,
        ),
        plain(
            "segserve_refine_queue_length",
            "Refinements that wait or run",
            lambda: refinements.pending,
        ),
        plain(
            "segserve_refine_queue_bytes",
            "Working memory that refinements were counted at, in bytes",
            lambda: refinements.bytes_in_use,
        ),
    ):
        metrics.add_gauge(source)


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a stop, 1 when the server could not start.

    Ends the process itself when something hangs that a return would wait for.
    """
    setup_logging(settings.log_format.value, verbose=settings.log_verbose > 0)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        return uvloop.run(_serve(settings))
    except (ServiceError, OSError) as error:
        return _failed(error)


def _failed(error: ServiceError | OSError) -> int:
    log.critical("server_failed", extra={"error": str(error)})
    return 1


async def _serve(settings: Settings) -> int:
    stop = _stop_event()
    app = build(settings)
    ended = True
    try:
        await listen(app)
        code = await _load_and_wait(app, stop, exit_on_error=settings.exit_on_error)
    except (ServiceError, OSError) as error:
        code = _failed(error)
    finally:
        ended = await shut_down(app)
    if not ended:
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """End the process though threads of it run, which the interpreter would wait for."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


async def _load_and_wait(app: Application, stop: asyncio.Event, *, exit_on_error: bool) -> int:
    """Load what should be there, then wait for the end; a signal ends either."""
    loading = asyncio.create_task(app.control.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            return 0
        failed = loading.result()
        if failed and exit_on_error:
            log.critical("exit_on_error", extra={"models": list(failed)})
            return 1
        log.info("ready" if app.engine.ready() else "started", extra={"failed": list(failed)})
        await stopping
        return 0
    finally:
        loading.cancel()
        stopping.cancel()


def _stop_event() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("stopping", extra={"signal": signal.Signals(number).name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
