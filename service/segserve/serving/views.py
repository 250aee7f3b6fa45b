"""What the engine tells of itself and its models: plain values that transports turn into bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from segserve.core.tensor import TensorSpec


class ModelState(Enum):
    """Triton's names of a model version's states."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class ServerMetadata:
    """Name, version and the protocol extensions this server speaks."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """A model's tensors; dims are full shapes (-1 for a free axis, the batch axis included)."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class ModelIndexEntry:
    """One row of the repository index; `version` is empty for a model with no version loaded."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True)
class StatisticDuration:
    """How often, and nanoseconds in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True)
class InferStatistics:
    """Triton's per-request sums; the three compute counts are equal by construction."""

    success: StatisticDuration = StatisticDuration()
    fail: StatisticDuration = StatisticDuration()
    queue: StatisticDuration = StatisticDuration()
    compute_input: StatisticDuration = StatisticDuration()
    compute_infer: StatisticDuration = StatisticDuration()
    compute_output: StatisticDuration = StatisticDuration()
    cache_hit: StatisticDuration = StatisticDuration()
    cache_miss: StatisticDuration = StatisticDuration()


@dataclass(frozen=True)
class InferBatchStatistics:
    """Sums over the executions of one batch size."""

    batch_size: int
    compute_input: StatisticDuration
    compute_infer: StatisticDuration
    compute_output: StatisticDuration


@dataclass(frozen=True)
class ModelStatistics:
    """One version's statistics since it was loaded.

    Parameters
    ----------
    last_inference_ms : int
        Unix time of the last request, in milliseconds; 0 before the first.
    inference_count, execution_count : int
        Images (batch elements) served, and model runs.
    """

    name: str
    version: str
    last_inference_ms: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: tuple[InferBatchStatistics, ...]
