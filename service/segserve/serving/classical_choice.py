"""From a model's config to the segmenters without weights that run it."""

from __future__ import annotations

from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.execution.backend import Backend
from segserve.execution.classical import ClassicalBackend, ClassicalOptions
from segserve.ops.classical.libraries import implementation_of
from segserve.repository.model_config import ModelConfig
from segserve.serving.limits import instance_count, whole_number

DEFAULT_BUDGET_MS = 10_000


def open_classical(
    config: ModelConfig, model_file: Path, cores: int, worker_bytes: int
) -> tuple[Backend, ...]:
    """Open one segmenter of our own, or a library's worker process for every instance.

    Parameters
    ----------
    worker_bytes : int
        Address space of a worker process; 0 for no limit.

    Raises
    ------
    LoadFailed
        When the file or a parameter is not what the segmenter takes, or the library is not there.
    """
    options = _options(config, worker_bytes)
    backends: list[Backend] = [ClassicalBackend(model_file, options)]
    try:
        while not backends[0].reentrant and len(backends) < instance_count(
            config, cores=cores, on_cpu=True
        ):
            backends.append(ClassicalBackend(model_file, options))
    except LoadFailed:
        for backend in backends:
            backend.close()
        raise
    return tuple(backends)


def _options(config: ModelConfig, worker_bytes: int) -> ClassicalOptions:
    if config.max_batch_size != 1:
        raise LoadFailed(
            f"model '{config.name}': max_batch_size is {config.max_batch_size}, expected 1: "
            f"segmenters without weights take one image at a time"
        )
    budget_s = whole_number(config, "budget_ms", DEFAULT_BUDGET_MS) / 1000
    implementation = implementation_of(config.parameters)
    return ClassicalOptions(config.parameters, budget_s, implementation, worker_bytes)
