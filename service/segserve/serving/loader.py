"""Where config, backend and family meet: files on disk become a warmed, served version."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from segserve.core.errors import LoadFailed, ServiceError
from segserve.core.messages import ModelRef
from segserve.execution.backend import Backend
from segserve.execution.instances import Instances
from segserve.execution.kernels import Kernels
from segserve.families.factory import build_family
from segserve.families.family import Family
from segserve.families.refinement import Refines
from segserve.observability.metrics import Metrics, ModelMetrics
from segserve.ops.kernel_cache import CacheKind
from segserve.ops.warm import WarmedKernels
from segserve.repository.autocomplete import complete
from segserve.repository.layout import CLASSICAL_BACKEND
from segserve.repository.model_config import ModelConfig
from segserve.repository.store import LoadPlan, VersionFiles
from segserve.scheduling.batcher import Batcher
from segserve.scheduling.policy import BatchLimits
from segserve.scheduling.prepared import Prepared
from segserve.scheduling.slab import SlabAllocator
from segserve.serving.backend_choice import devices, inspect_model, open_backends
from segserve.serving.cpu_side import CpuSide
from segserve.serving.lane import Lane, Lanes, aside_limits
from segserve.serving.limits import batch_limits, leaves_a_core
from segserve.serving.load_threads import LoadThreads
from segserve.serving.served_model import ServedModel, ServedParts
from segserve.serving.statistics import ModelMeter
from segserve.serving.warm_samples import warm
from segserve.serving.without_effect import without_effect

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """What the blocking part of a load gives; warm-up has measured `row_s`."""

    config: ModelConfig
    family: Family | None
    backends: tuple[Backend, ...]
    row_s: float


class _Observer:
    """Tells a version's metrics and statistics about its batches."""

    def __init__(self, metrics: ModelMetrics, meter: ModelMeter) -> None:
        self._metrics = metrics
        self._meter = meter

    def batch_done(self, size: int, batch_s: float, infer_s: float) -> None:
        self._metrics.batch_done(size)
        self._meter.batch_done(size, batch_s, infer_s)


class Loader:
    """Loads one version at a time per call; calls may run side by side.

    Parameters
    ----------
    cpu : CpuSide
        The threads that all models share, and the queues before them.
    max_image_pixels : int
        Larger images are refused before they are decoded.
    auto_complete : bool
        Fill configs from the model file.

    Attributes
    ----------
    threads : LoadThreads
        Where everything runs that blocks while models load.
    """

    def __init__(
        self, cpu: CpuSide, metrics: Metrics, *, max_image_pixels: int, auto_complete: bool
    ) -> None:
        self.threads = LoadThreads()
        self._cpu = cpu
        self._kernels = Kernels(cpu.pool.cores)
        self._metrics = metrics
        self._max_image_pixels = max_image_pixels
        self._auto_complete = auto_complete
        self._kernels_told = False

    def close(self) -> None:
        """End what compiles for loads under way; they fail, and so do later ones."""
        self._kernels.stop()

    async def load(self, plan: LoadPlan, version: VersionFiles) -> ServedModel:
        """Load and warm one version.

        Raises
        ------
        LoadFailed
            Naming file, field, got, expected and the fix; or what nobody foresaw, whose trace is
            in the log. The server stays up either way.
        """
        start_s = time.perf_counter()
        try:
            opened = await self.threads.run(plan.name, partial(self._open, plan, version))
        except ServiceError:
            raise
        except Exception as error:
            log.exception("model_load_crashed", extra={"model": plan.name})
            raise LoadFailed(f"loading model '{plan.name}' failed: {error!r}") from error
        served = self._assemble(plan, version, opened)
        served.parts.metrics.loaded(time.perf_counter() - start_s)
        return served

    def _open(self, plan: LoadPlan, version: VersionFiles) -> _Opened:
        """Blocking: read the model, complete the config, open sessions, compile, warm."""
        if plan.config is None and not self._auto_complete:
            raise LoadFailed(
                f"model '{plan.name}' has no config.pbtxt and --disable-auto-complete-config is "
                f"set: write a config.pbtxt or drop the flag"
            )
        graph = inspect_model(plan.config, version.model_file)
        config = complete(plan.config, plan.name, graph, version.model_file.name)
        served = [each.version for each in plan.versions]
        _tell_unhonoured(config, without_effect(config, version.model_file.name, served))
        _check_family_batches(config)
        family = build_family(
            config.parameters,
            plan.labels,
            config.input_specs(),
            config.output_specs(),
            max_image_pixels=self._max_image_pixels,
        )
        backends, row_s = self._open_backends(config, plan, version, family)
        return _Opened(config, family, backends, row_s)

    def _open_backends(
        self, config: ModelConfig, plan: LoadPlan, version: VersionFiles, family: Family | None
    ) -> tuple[tuple[Backend, ...], float]:
        """Open and warm sessions while another thread gets the family's kernels ready."""
        with ThreadPoolExecutor(1, "kernels") as beside:
            kernels = beside.submit(self._kernels.ready, family.kernels) if family else None
            if kernels is not None and config.backend == CLASSICAL_BACKEND:
                kernels.result()  # such a backend runs its kernels when it is opened
            backends = open_backends(
                config, version.model_file, self._cpu.pool.cores, self._cpu.worker_bytes
            )
            _tell_devices(config, backends)
            try:
                row_s = warm(config, family, backends, plan.directory.path)
                warmed = kernels.result() if kernels else None
            except BaseException:
                for backend in backends:
                    backend.close()
                raise
        if warmed is not None:
            _tell_warmed(warmed, first=not self._kernels_told)
            self._kernels_told = True
        return backends, row_s

    def _assemble(self, plan: LoadPlan, version: VersionFiles, opened: _Opened) -> ServedModel:
        config = opened.config
        on_cpu = opened.backends[0].device == "cpu"
        limits = batch_limits(config, cores=self._cpu.pool.cores, on_cpu=on_cpu)
        instances = Instances(
            opened.backends,
            limits.instances,
            self._cpu.pool if on_cpu else None,
            leaves_a_core=leaves_a_core(config),
        )
        metrics = self._metrics.model(plan.name, str(version.version), dict(config.metric_tags))
        meter = ModelMeter()
        observer = _Observer(metrics, meter)
        batch = max(1, config.max_batch_size)
        parts = ServedParts(
            ref=ModelRef(plan.name, version.version),
            config=config,
            digest=version.digest,
            labels=plan.labels,
            inputs=config.input_specs(),
            outputs=config.output_specs(),
            family=opened.family,
            instances=instances,
            lanes=Lanes(
                Lane(
                    Batcher(instances, limits, observer, opened.row_s),
                    Prepared(2 * limits.instances * batch),
                    SlabAllocator(batch),
                ),
                self._aside(opened, limits, observer) if on_cpu else None,
            ),
            cpu=self._cpu,
            metrics=metrics,
            meter=meter,
        )
        return ServedModel(parts)

    def _aside(self, opened: _Opened, limits: BatchLimits, observer: _Observer) -> Lane | None:
        """Give the lane aside, where images are refined and threads may share the backend."""
        refines = opened.family is not None and isinstance(opened.family, Refines)
        if not (refines and opened.backends[0].reentrant):
            return None
        threads = self._cpu.aside
        instances = Instances(opened.backends, 1, threads, widens=False)
        batcher = Batcher(instances, aside_limits(limits), observer, opened.row_s)
        return Lane(batcher, Prepared(2 * threads.cores), SlabAllocator(1), decodes=True)


def _tell_warmed(warmed: WarmedKernels, *, first: bool) -> None:
    """Log what getting kernels ready took, and what would make the next start quicker."""
    kept = warmed.cache
    told = {
        "seconds": round(warmed.seconds, 3),
        "compiled": warmed.compiled,
        "cache": kept.kind.value,
        "folder": str(kept.folder or ""),
    }
    if kept.kind is CacheKind.NONE and first:
        fix = "set NUMBA_CACHE_DIR to a folder that this user may write"
        log.warning("kernels_not_kept", extra={**told, "fix": fix})
    elif warmed.compiled and warmed.stale:
        why = "the kernels that were there are of another CPU or another version"
        log.warning("kernels_compiled_again", extra={**told, "why": why})
    else:
        log.info("kernels_ready", extra=told)


def _tell_unhonoured(config: ModelConfig, hints: Mapping[str, str]) -> None:
    """Log each field and parameter that is written and has no effect."""
    for field, hint in hints.items():
        fields = {"model": config.name, "field": field, **({"hint": hint[2:]} if hint else {})}
        log.warning("config_field_not_honoured", extra=fields)


def _tell_devices(config: ModelConfig, backends: Sequence[Backend]) -> None:
    """Log what really runs a model; a warning where the config asked for a GPU."""
    asks_for_gpu = config.backend != CLASSICAL_BACKEND and devices(config) != (None,)
    for backend in backends:
        fields = {
            "model": config.name,
            "device": backend.device,
            "providers": list(backend.providers),
        }
        if asks_for_gpu and backend.device == "cpu":
            why = "the config asks for a GPU, which is not here, and has cuda_fallback"
            log.warning("device_fell_back", extra={**fields, "why": why})
        else:
            log.info("device_in_use", extra=fields)


def _check_family_batches(config: ModelConfig) -> None:
    if "family" in config.parameters and config.max_batch_size == 0:
        raise LoadFailed(
            f"model '{config.name}': config.pbtxt names a family, whose images are batched by the "
            f"server, but max_batch_size is 0: set max_batch_size to 1 or more and export the "
            f"model with a free first axis"
        )
