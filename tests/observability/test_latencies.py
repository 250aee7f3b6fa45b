"""A request's durations, in every form that is shown."""

import re

import pytest

from segserve.core.messages import Timings
from segserve.observability.latency_forms import LatencyForms
from segserve.observability.metrics import Metrics

TIMINGS = Timings(decode_s=0.001, queue_s=0.002, batch_s=0.0005, infer_s=0.01, post_s=0.003)
IN_US = {
    "request": 20_000,
    "queue": 2_000,
    "compute_input": 1_500,  # decoding an image is preparing an input
    "compute_infer": 10_000,
    "compute_output": 3_000,
}


MODEL = {"model": "m", "version": "1", "_team": "blue"}


def shown(forms):
    """Give by name, suffix and labels beyond those of the model what the text says."""
    metrics = Metrics(forms)
    metrics.model("m", "1", {"team": "blue"}).request_done(TIMINGS, 0.020)
    values = {}
    for line in metrics.render().decode().splitlines():
        match = re.fullmatch(r"(nv_inference_\w+)\{(.*)\} (\S+)", line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            assert labels.items() >= MODEL.items()
            more = [value for name, value in labels.items() if name not in MODEL]
            values[match[1], *more] = float(match[3])
    return values


def test_tritons_defaults():
    values = shown(LatencyForms())
    for name, value in IN_US.items():
        assert values[f"nv_inference_{name}_duration_us",] == pytest.approx(value)
        spread = f"nv_inference_{name}_duration_histogram_us_sum"
        assert values[spread,] == pytest.approx(value)
    assert not [name for name, *_ in values if "summary" in name or "first_response" in name]


def test_summaries_have_the_count_and_sum_of_the_counters():
    values = shown(LatencyForms(summaries=True, quantiles=(0.5,)))
    for name, value in IN_US.items():
        summary = f"nv_inference_{name}_summary_us"
        assert values[summary, "0.5"] == pytest.approx(value, rel=0.01)
        assert values[summary + "_count",] == 1
        assert values[summary + "_sum",] == pytest.approx(value)


def test_counters_are_left_out_where_they_are_not_wanted():
    values = shown(LatencyForms(counters=False))
    assert not [name for name, *_ in values if name.endswith("_duration_us")]
    assert values["nv_inference_request_success",] == 1


def test_the_first_response():
    values = shown(LatencyForms(first_response=True))
    name = "nv_inference_first_response_histogram_ms"
    assert (values[name + "_bucket", "100.0"], values[name + "_bucket", "+Inf"]) == (1, 1)
    assert values[name + "_sum",] == pytest.approx(20)
