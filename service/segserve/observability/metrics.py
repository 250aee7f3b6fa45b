"""Every metric: its name, labels and buckets, and the text that Prometheus reads.

Triton's names (``nv_*``) keep their exact spelling; ours follow the same vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from segserve.core.messages import Timings
from segserve.observability.counters import TritonCounters, label_text
from segserve.observability.gauges import Gauges, GaugeSource, gpu_gauges, host_gauges
from segserve.observability.gpus import GpuState
from segserve.observability.histograms import Histograms
from segserve.observability.host import HostLoad
from segserve.observability.latencies import DURATION_US, Latencies
from segserve.observability.latency_forms import LatencyForms

__all__ = ["GaugeSource", "Metrics", "ModelMetrics"]

OWN_PHASES = ("decode", "batch", "encode")
"""Those without a name of Triton's."""
REFINE_SKIPS = ("full", "budget")
FAILURE_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)
_RATIO = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)

_TRITONS_DEFAULT = LatencyForms()
_FAILURE = "nv_inference_request_failure"
_ENERGY = "nv_energy_consumption"
TRITON_COUNTERS = {
    "nv_inference_request_success": "Requests that were answered",
    _FAILURE: "Requests that failed, by reason",
    "nv_inference_count": "Images (batch elements) inferred",
    "nv_inference_exec_count": "Model runs",
}


Tags = dict[tuple[str, str], Mapping[str, str]]
"""What a model version's series carry beside its name and number."""


class _WithTags(Collector):
    """Adds the models' tags to all series that are a model's."""

    def __init__(self, inner: CollectorRegistry, tags: Tags) -> None:
        self._inner = inner
        self._tags = tags

    @override
    def collect(self) -> Iterable[Metric]:
        for family in self._inner.collect():
            if self._tags:
                family.samples = [self._tagged(sample) for sample in family.samples]
            yield family

    def _tagged(self, sample: Sample) -> Sample:
        key = (sample.labels.get("model", ""), sample.labels.get("version", ""))
        tags = self._tags.get(key)
        return sample._replace(labels={**sample.labels, **tags}) if tags else sample


class ModelMetrics:
    """The metrics of one model version; every call is a few dictionary additions."""

    def __init__(self, metrics: Metrics, model: str, version: str, tags: dict[str, str]) -> None:
        own = {f"_{name}": value for name, value in tags.items()}
        labels = (("model", model), ("version", version), *own.items())
        metrics.tags[model, version] = own
        self._counters = metrics.counters
        self._labels = label_text(labels)
        self._failure_labels = labels
        self._phases = {p: metrics.phase[p].labels(model, version) for p in OWN_PHASES}
        self._latencies = metrics.latencies.model(model, version, self._labels)
        self._batch_size = metrics.batch_size.labels(model, version)
        self._padding = metrics.padding_ratio.labels(model, version)
        self._response_bytes = metrics.response_bytes.labels(model, version)
        self._refine_queue = metrics.refine_queue.labels(model, version)
        self._refine = metrics.refine.labels(model, version)
        self._refine_skips = {
            reason: metrics.refine_skips.labels(model, version, reason) for reason in REFINE_SKIPS
        }
        metrics.load_duration.labels(model, version).set(0)
        self._load_duration = metrics.load_duration.labels(model, version)
        for name in TRITON_COUNTERS:
            if name != _FAILURE:
                self._counters.add(name, self._labels, 0)
        for reason in FAILURE_REASONS:
            self._count_failure(reason, 0)

    def loaded(self, duration_s: float) -> None:
        """Note how long the model took to load and warm."""
        self._load_duration.set(duration_s)

    def request_done(self, timings: Timings, request_s: float) -> None:
        """Note an answered request."""
        self._counters.add("nv_inference_request_success", self._labels, 1)
        prepare_s = timings.decode_s + timings.batch_s
        self._latencies.done(
            (request_s, timings.queue_s, prepare_s, timings.infer_s, timings.post_s)
        )
        self._phases["decode"].observe(timings.decode_s * 1e6)
        self._phases["batch"].observe(timings.batch_s * 1e6)

    def request_failed(self, reason: str) -> None:
        """Note a failed request; `reason` is one of `FAILURE_REASONS`."""
        self._count_failure(reason, 1)

    def _count_failure(self, reason: str, count: int) -> None:
        labels = label_text((*self._failure_labels, ("reason", reason)))
        self._counters.add(_FAILURE, labels, count)

    def batch_done(self, size: int) -> None:
        """Note one model run over `size` images."""
        self._counters.add("nv_inference_count", self._labels, size)
        self._counters.add("nv_inference_exec_count", self._labels, 1)
        self._batch_size.observe(size)

    def padded(self, ratio: float) -> None:
        """Note which part of an image's network input is padding, 0 to 1."""
        self._padding.observe(ratio)

    def refined(self, queue_s: float, run_s: float) -> None:
        """Note a refinement that came to its end in time."""
        self._refine_queue.observe(queue_s * 1e6)
        self._refine.observe(run_s * 1e6)

    def refine_skipped(self, reason: str) -> None:
        """Note an answer that stayed unrefined; `reason` is full or budget."""
        self._refine_skips[reason].inc()

    def encoded(self, duration_s: float, size_bytes: int) -> None:
        """Note the building of an answer's bytes."""
        self._phases["encode"].observe(duration_s * 1e6)
        self._response_bytes.observe(size_bytes)


class Metrics:
    """All metrics of one server.

    Parameters
    ----------
    forms : LatencyForms
        In which forms latencies are shown.
    """

    def __init__(self, forms: LatencyForms = _TRITONS_DEFAULT) -> None:
        self.registry = CollectorRegistry()
        self.tags: Tags = {}
        self._shown = CollectorRegistry()
        self._shown.register(_WithTags(self.registry, self.tags))
        self.counters = TritonCounters(TRITON_COUNTERS)
        self._texts = [self.counters.render]
        self._gauges = Gauges()
        self.registry.register(self._gauges)
        self._gauges.sources += host_gauges(HostLoad())
        self.latencies = Latencies(forms, self.registry)
        self._texts.append(self.latencies.counters.render)
        self.phase = {
            phase: self._histogram(
                f"segserve_{phase}_duration_histogram_us",
                f"Duration of phase {phase}, in microseconds",
                DURATION_US,
            )
            for phase in OWN_PHASES
        }
        self.batch_size = self._histogram("segserve_batch_size", "Images in one model run", _BATCH)
        self.padding_ratio = self._histogram(
            "segserve_padding_ratio", "Part of an image's network input that is padding", _RATIO
        )
        self.response_bytes = self._histogram(
            "segserve_response_bytes", "Size of an answer, in bytes", _BYTES
        )
        self.refine = self._histogram(
            "segserve_refine_duration_histogram_us",
            "Duration of a dense CRF, without its waiting, in microseconds",
            DURATION_US,
        )
        self.refine_queue = self._histogram(
            "segserve_refine_queue_duration_histogram_us",
            "Waiting for a thread that refines, in microseconds",
            DURATION_US,
        )
        self.refine_skips = Counter(
            "segserve_refine_skips",
            "Answers that stayed unrefined, by reason",
            ("model", "version", "reason"),
            registry=self.registry,
        )
        self.load_duration = Gauge(
            "nv_model_load_duration_secs",
            "Seconds that the last load of the model took, warm-up included",
            ("model", "version"),
            registry=self.registry,
        )

    def _histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histograms:
        histograms = Histograms(name, text, ("model", "version"), bounds)
        self.registry.register(histograms)
        return histograms

    def add_gauge(self, source: GaugeSource) -> None:
        """Ask `source` at every scrape."""
        self._gauges.sources.append(source)

    def add_gpus(self, states: Callable[[], Iterable[GpuState]]) -> None:
        """Ask `states` of the GPUs at every scrape."""
        self._gauges.sources += gpu_gauges(states)

        def energy() -> str:
            counter = TritonCounters({_ENERGY: "Energy the GPU used, in joules"})
            for state in states():
                if state.energy_j is not None:
                    counter.add(_ENERGY, label_text([("gpu_uuid", state.uuid)]), state.energy_j)
            return counter.render()

        self._texts.append(energy)

    def model(self, name: str, version: str, tags: dict[str, str]) -> ModelMetrics:
        """Give the metrics of one model version; `tags` become labels ``_<tag>``."""
        return ModelMetrics(self, name, version, tags)

    def render(self) -> bytes:
        """Give everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._shown) + "".join(text() for text in self._texts).encode()
