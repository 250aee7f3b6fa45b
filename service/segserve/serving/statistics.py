"""One model version's counts since it was loaded, in the shape of Triton's statistics."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from segserve.core.messages import Timings
from segserve.serving.views import (
    InferBatchStatistics,
    InferStatistics,
    ModelStatistics,
    StatisticDuration,
)


@dataclass
class _Sum:
    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += int(seconds * 1e9)

    def view(self) -> StatisticDuration:
        return StatisticDuration(self.count, self.ns)


class _Compute:
    """The three compute sums, always added together so that their counts stay equal."""

    def __init__(self) -> None:
        self.input, self.infer, self.output = _Sum(), _Sum(), _Sum()

    def add(self, input_s: float, infer_s: float, output_s: float) -> None:
        self.input.add(input_s)
        self.infer.add(infer_s)
        self.output.add(output_s)


class ModelMeter:
    """Adds up what a model version did."""

    def __init__(self) -> None:
        self._last_inference_ms = 0
        self._inferences = 0
        self._executions = 0
        self._success, self._fail, self._queue = _Sum(), _Sum(), _Sum()
        self._compute = _Compute()
        self._batches: defaultdict[int, _Compute] = defaultdict(_Compute)

    def request_done(self, timings: Timings, request_s: float) -> None:
        """Note an answered request."""
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._success.add(request_s)
        self._queue.add(timings.queue_s)
        self._compute.add(timings.decode_s + timings.batch_s, timings.infer_s, timings.post_s)

    def request_failed(self, request_s: float) -> None:
        """Note a failed request."""
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._fail.add(request_s)

    def batch_done(self, size: int, batch_s: float, infer_s: float) -> None:
        """Note one model run."""
        self._inferences += size
        self._executions += 1
        self._batches[size].add(batch_s, infer_s, 0.0)

    def view(self, name: str, version: str) -> ModelStatistics:
        """Give the counts as they stand now."""
        return ModelStatistics(
            name=name,
            version=version,
            last_inference_ms=self._last_inference_ms,
            inference_count=self._inferences,
            execution_count=self._executions,
            inference_stats=InferStatistics(
                success=self._success.view(),
                fail=self._fail.view(),
                queue=self._queue.view(),
                compute_input=self._compute.input.view(),
                compute_infer=self._compute.infer.view(),
                compute_output=self._compute.output.view(),
            ),
            batch_stats=tuple(
                InferBatchStatistics(size, c.input.view(), c.infer.view(), c.output.view())
                for size, c in sorted(self._batches.items())
            ),
        )
