"""The metrics text: Triton's exact counter names, histograms, gauges asked for at scrape."""

import re

from segserve.core.messages import Timings
from segserve.observability.metrics import GaugeSource, Metrics


def samples(metrics):
    """Read the text by hand: Prometheus' own parser renames counters."""
    text = metrics.render().decode()
    values = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and not line.startswith("#"):
            labels = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
            values[match[1], labels] = float(match[3])
    return values, text


def test_triton_names_without_a_suffix():
    metrics = Metrics()
    model = metrics.model("m", "1", {})
    model.request_done(Timings(queue_s=0.002, infer_s=0.010, decode_s=0.001), 0.015)
    model.batch_done(3)
    model.request_failed("REJECTED")
    values, text = samples(metrics)
    labels = (("model", "m"), ("version", "1"))
    assert "nv_inference_request_success_total" not in text
    assert 'nv_inference_request_success{model="m",version="1"} 1' in text
    assert values["nv_inference_count", labels] == 3
    assert values["nv_inference_exec_count", labels] == 1
    assert values["nv_inference_queue_duration_us", labels] == 2000
    failed = (("model", "m"), ("reason", "REJECTED"), ("version", "1"))
    assert values["nv_inference_request_failure", failed] == 1


def test_phase_histograms_and_batch_size():
    metrics = Metrics()
    model = metrics.model("m", "1", {})
    model.request_done(Timings(infer_s=0.010), 0.015)
    model.batch_done(3)
    model.padded(0.25)
    model.encoded(0.001, 5000)
    values, _ = samples(metrics)
    labels = (("model", "m"), ("version", "1"))
    name = "nv_inference_compute_infer_duration_histogram_us"
    assert values[name + "_sum", labels] == 10_000
    assert values["segserve_batch_size_count", labels] == 1
    at_most_2 = tuple(sorted((*labels, ("le", "2.0"))))
    assert values["segserve_batch_size_bucket", at_most_2] == 0
    assert values["segserve_padding_ratio_sum", labels] == 0.25
    assert values["segserve_response_bytes_sum", labels] == 5000


def test_gauges_are_read_at_scrape_and_tags_become_labels():
    metrics = Metrics()
    level = [1.0]
    metrics.add_gauge(GaugeSource("segserve_x", "x", ("model",), lambda: [(("m",), level[0])]))
    metrics.model("m", "1", {"team": 'a"b'})
    level[0] = 5.0
    values, text = samples(metrics)
    assert values["segserve_x", (("model", "m"),)] == 5
    assert r'_team="a\"b"' in text


def test_refinements_and_those_that_were_skipped():
    metrics = Metrics()
    model = metrics.model("m", "1", {})
    model.refined(0.002, 0.030)
    model.refine_skipped("full")
    model.refine_skipped("full")
    values, _ = samples(metrics)
    labels = (("model", "m"), ("version", "1"))
    assert values["segserve_refine_duration_histogram_us_sum", labels] == 30_000
    assert values["segserve_refine_queue_duration_histogram_us_sum", labels] == 2_000
    skipped = "segserve_refine_skips_total"
    by_reason = {
        reason: values[skipped, tuple(sorted((*labels, ("reason", reason))))]
        for reason in ("full", "budget")
    }
    assert by_reason == {"full": 2, "budget": 0}


def test_tags_are_labels_of_all_series_of_their_model():
    metrics = Metrics()
    row = (("m", "1"), 7.0)
    gauge = GaugeSource("segserve_waiting", "x", ("model", "version"), lambda: [row])
    metrics.add_gauge(gauge)
    model = metrics.model("m", "1", {"team": "blue"})
    metrics.model("n", "1", {})
    model.loaded(2.0)
    model.refine_skipped("full")
    _, text = samples(metrics)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    of_m = [line for line in lines if 'model="m"' in line]
    assert {line.partition("{")[0] for line in of_m} >= {
        "nv_inference_count",
        "nv_inference_request_failure",
        "nv_inference_queue_duration_histogram_us_bucket",
        "nv_model_load_duration_secs",
        "segserve_refine_skips_total",
        "segserve_waiting",
    }
    assert all('_team="blue"' in line for line in of_m)
    assert not any("_team" in line for line in lines if 'model="n"' in line)


def test_every_reason_of_a_failure_is_there_before_the_first():
    metrics = Metrics()
    metrics.model("m", "1", {})
    _, text = samples(metrics)
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        line = f'nv_inference_request_failure{{model="m",version="1",reason="{reason}"}} 0'
        assert line in text


def test_the_machine():
    values, _ = samples(Metrics())
    assert 0 <= values["nv_cpu_utilization", ()] <= 1
    assert 0 < values["nv_cpu_memory_used_bytes", ()] < values["nv_cpu_memory_total_bytes", ()]
