"""Histograms as Prometheus' own client would count and write them."""

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest

from segserve.observability.histograms import Histogram, Histograms

VALUES = (0.0, 1.0, 1.5, 2.0, 2.5, 10.0, 1e9, 3)
BOUNDS = (1.0, 2.0, 10)


def test_bounds_are_inclusive():
    histogram = Histogram(BOUNDS)
    for value in VALUES:
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2), ("2.0", 4), ("10.0", 7), ("+Inf", 8)]
    assert histogram.total == sum(VALUES)


def test_the_text_is_that_of_the_official_client():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histograms("h_us", "Some text", ("model", "version"), BOUNDS)
    ours.register(mine)
    official = prometheus_client.Histogram(
        "h_us", "Some text", ("model", "version"), buckets=BOUNDS, registry=theirs
    )
    for model in ("a", 'b"c'):
        for value in VALUES:
            mine.labels(model, "1").observe(value)
            official.labels(model, "1").observe(value)
    wanted = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == wanted


def test_a_series_is_shown_before_its_first_value():
    registry = CollectorRegistry()
    histograms = Histograms("h", "t", ("model",), (1.0,))
    registry.register(histograms)
    assert histograms.labels("m") is histograms.labels("m")
    assert b'h_count{model="m"} 0.0' in generate_latest(registry)
