"""What Triton tells of a request's time, in each of the forms that are shown."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from segserve.observability.counters import TritonCounters
from segserve.observability.histograms import Histograms
from segserve.observability.latency_forms import LatencyForms
from segserve.observability.summaries import Summaries

DURATION_US = (
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
)  # fmt: skip
_FIRST_RESPONSE_MS = (100, 500, 2_000, 5_000)  # Triton's
_LABELS = ("model", "version")
LATENCIES = {
    "request": "request durations",
    "queue": "queue durations",
    "compute_input": "input preparation",
    "compute_infer": "model run durations",
    "compute_output": "output preparation",
}
"""By the part of the metrics' names, what is measured."""


class Latencies:
    """Counters, histograms and summaries of `LATENCIES`.

    Parameters
    ----------
    forms : LatencyForms
    registry : CollectorRegistry
        Where they are shown, but for the counters.
    """

    def __init__(self, forms: LatencyForms, registry: CollectorRegistry) -> None:
        texts = {
            f"nv_inference_{name}_duration_us": f"Sum of {what}, in microseconds"
            for name, what in LATENCIES.items()
            if forms.counters
        }
        self.counters = TritonCounters(texts)
        self.counter_names = tuple(texts)
        self.histograms = [
            Histograms(
                f"nv_inference_{name}_duration_histogram_us",
                f"Distribution of {what}, in microseconds",
                _LABELS,
                DURATION_US,
            )
            for name, what in LATENCIES.items()
        ]
        self.summaries = [
            Summaries(
                f"nv_inference_{name}_summary_us",
                f"Quantiles of {what} in the last minute, in microseconds",
                _LABELS,
                forms.quantiles,
            )
            for name, what in LATENCIES.items()
            if forms.summaries
        ]
        first = Histograms(
            "nv_inference_first_response_histogram_ms",
            "Milliseconds until a request's first response",
            _LABELS,
            _FIRST_RESPONSE_MS,
        )
        self.first_response = [first] if forms.first_response else []
        for shown in (*self.histograms, *self.summaries, *self.first_response):
            registry.register(shown)

    def model(self, name: str, version: str, labels: str) -> ModelLatencies:
        """Give the latencies of one model version; `labels` is their text, tags included."""
        return ModelLatencies(self, name, version, labels)


class ModelLatencies:
    """The latencies of one model version."""

    def __init__(self, all_models: Latencies, name: str, version: str, labels: str) -> None:
        self._counters = all_models.counters
        self._counter_names = all_models.counter_names
        self._labels = labels
        self._in_us = [
            tuple(form.labels(name, version) for form in forms)
            for forms in (all_models.histograms, all_models.summaries)
            if forms
        ]
        self._first_response = [h.labels(name, version) for h in all_models.first_response]
        for counter in self._counter_names:
            self._counters.add(counter, labels, 0)

    def done(self, seconds: Sequence[float]) -> None:
        """Note an answered request's durations, in the order of `LATENCIES`."""
        durations_us = [value * 1e6 for value in seconds]
        for counter, value in zip(self._counter_names, durations_us, strict=False):
            self._counters.add(counter, self._labels, value)
        for form in self._in_us:
            for series, value in zip(form, durations_us, strict=True):
                series.observe(value)
        for series in self._first_response:
            series.observe(seconds[0] * 1e3)
