"""Statistics of a model as a message."""

from __future__ import annotations

from dataclasses import fields

from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.serving.views import (
    InferBatchStatistics,
    InferStatistics,
    ModelStatistics,
    StatisticDuration,
)


def statistics_message(row: ModelStatistics) -> pb.ModelStatistics:
    """Build a ModelStatistics; every duration is there, be it zero, since clients read them all."""
    return pb.ModelStatistics(
        name=row.name,
        version=row.version,
        last_inference=row.last_inference_ms,
        inference_count=row.inference_count,
        execution_count=row.execution_count,
        inference_stats=_sums(row.inference_stats),
        batch_stats=[_batch(batch) for batch in row.batch_stats],
    )


def _duration(value: StatisticDuration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=value.count, ns=value.ns)


def _sums(stats: InferStatistics) -> pb.InferStatistics:
    names = [field.name for field in fields(stats)]
    return pb.InferStatistics(**{name: _duration(getattr(stats, name)) for name in names})


def _batch(stats: InferBatchStatistics) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=stats.batch_size,
        compute_input=_duration(stats.compute_input),
        compute_infer=_duration(stats.compute_infer),
        compute_output=_duration(stats.compute_output),
    )
