"""Every metric: its name, labels and buckets, and the text that Prometheus reads.

Triton's names (``nv_*``) keep their exact spelling; the client library would add ``_total`` to a
counter's name, so those are written by `TritonCounters`. Histogram names and the proposed
``*_duration_histogram_us`` follow the same vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from segserve.core.messages import Timings
from segserve.observability.gauges import Gauges, GaugeSource, gpu_gauges, host_gauges
from segserve.observability.gpus import GpuState
from segserve.observability.histograms import Histograms
from segserve.observability.host import HostLoad

__all__ = ["GaugeSource", "Metrics", "ModelMetrics"]

PHASES = ("decode", "queue", "batch", "infer", "post", "encode")
REFINE_SKIPS = ("full", "budget")
FAILURE_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
_DURATION_US = (
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
)  # fmt: skip
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)
_RATIO = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)

_FAILURE = "nv_inference_request_failure"
_ENERGY = "nv_energy_consumption"
TRITON_COUNTERS = {
    "nv_inference_request_success": "Requests that were answered",
    _FAILURE: "Requests that failed, by reason",
    "nv_inference_count": "Images (batch elements) inferred",
    "nv_inference_exec_count": "Model runs",
    "nv_inference_request_duration_us": "Sum of request durations, in microseconds",
    "nv_inference_queue_duration_us": "Sum of queue durations, in microseconds",
    "nv_inference_compute_input_duration_us": "Sum of input preparation, in microseconds",
    "nv_inference_compute_infer_duration_us": "Sum of model run durations, in microseconds",
    "nv_inference_compute_output_duration_us": "Sum of output preparation, in microseconds",
}


def _label_text(labels: Iterable[tuple[str, str]]) -> str:
    escaped = (
        (k, v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for k, v in labels
    )
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped) + "}"


class TritonCounters:
    """Counters under Triton's exact names, in Prometheus' text format.

    Parameters
    ----------
    texts : mapping
        By name, what each counts.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._values: dict[str, dict[str, float]] = {name: {} for name in texts}

    def add(self, name: str, labels: str, value: float) -> None:
        """Add `value` to the series `labels` (the text between and with the braces)."""
        series = self._values[name]
        series[labels] = series.get(labels, 0.0) + value

    def render(self) -> str:
        """Give the exposition text."""
        lines: list[str] = []
        for name, series in self._values.items():
            lines += (f"# HELP {name} {self._texts[name]}", f"# TYPE {name} counter")
            lines += (f"{name}{labels} {value:.10g}" for labels, value in series.items())
        return "\n".join(lines) + "\n"


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
        self._labels = _label_text(labels)
        self._failure_labels = labels
        self._phases = {p: metrics.phase[p].labels(model, version) for p in PHASES}
        self._request = metrics.request.labels(model, version)
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
        add, labels = self._counters.add, self._labels
        add("nv_inference_request_success", labels, 1)
        add("nv_inference_request_duration_us", labels, request_s * 1e6)
        add("nv_inference_queue_duration_us", labels, timings.queue_s * 1e6)
        prepare_s = timings.decode_s + timings.batch_s
        add("nv_inference_compute_input_duration_us", labels, prepare_s * 1e6)
        add("nv_inference_compute_infer_duration_us", labels, timings.infer_s * 1e6)
        add("nv_inference_compute_output_duration_us", labels, timings.post_s * 1e6)
        self._request.observe(request_s * 1e6)
        for phase in PHASES[:-1]:
            self._phases[phase].observe(getattr(timings, phase + "_s") * 1e6)

    def request_failed(self, reason: str) -> None:
        """Note a failed request; `reason` is one of `FAILURE_REASONS`."""
        self._count_failure(reason, 1)

    def _count_failure(self, reason: str, count: int) -> None:
        labels = _label_text((*self._failure_labels, ("reason", reason)))
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
    """All metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tags: Tags = {}
        self._shown = CollectorRegistry()
        self._shown.register(_WithTags(self.registry, self.tags))
        self.counters = TritonCounters(TRITON_COUNTERS)
        self._texts = [self.counters.render]
        self._gauges = Gauges()
        self.registry.register(self._gauges)
        self._gauges.sources += host_gauges(HostLoad())
        names = {
            "decode": "segserve_decode_duration_histogram_us",
            "queue": "nv_inference_queue_duration_histogram_us",
            "batch": "nv_inference_compute_input_duration_histogram_us",
            "infer": "nv_inference_compute_infer_duration_histogram_us",
            "post": "nv_inference_compute_output_duration_histogram_us",
            "encode": "segserve_encode_duration_histogram_us",
        }
        self.phase = {
            p: self._histogram(names[p], f"Duration of phase {p}, in microseconds", _DURATION_US)
            for p in PHASES
        }
        self.request = self._histogram(
            "nv_inference_request_duration_histogram_us",
            "Duration of a request in the server, in microseconds",
            _DURATION_US,
        )
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
            _DURATION_US,
        )
        self.refine_queue = self._histogram(
            "segserve_refine_queue_duration_histogram_us",
            "Waiting for a thread that refines, in microseconds",
            _DURATION_US,
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
                    counter.add(_ENERGY, _label_text([("gpu_uuid", state.uuid)]), state.energy_j)
            return counter.render()

        self._texts.append(energy)

    def model(self, name: str, version: str, tags: dict[str, str]) -> ModelMetrics:
        """Give the metrics of one model version; `tags` become labels ``_<tag>``."""
        return ModelMetrics(self, name, version, tags)

    def render(self) -> bytes:
        """Give everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._shown) + "".join(text() for text in self._texts).encode()
