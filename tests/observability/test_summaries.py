"""Quantiles of the last minute, against the exact ones."""

import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from segserve.observability.summaries import WINDOW_S, Summaries, Summary

QUANTILES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize("draw", ["lognormal", "uniform", "two_peaks"])
def test_quantiles_are_within_a_hundredth_of_the_exact_values(draw):
    random = np.random.default_rng(0)
    values = {
        "lognormal": lambda: random.lognormal(8, 2, 5000),
        "uniform": lambda: random.uniform(1, 1e6, 5000),
        "two_peaks": lambda: np.where(random.random(5000) < 0.97, 40.0, 9e6),
    }[draw]()
    values = np.maximum(values, 2)
    summary = Summary()
    for value in values:
        summary.observe(value)
    exact = np.quantile(values, QUANTILES, method="lower")
    np.testing.assert_allclose(summary.quantiles(QUANTILES), exact, rtol=0.0101)
    assert summary.count == 5000
    assert summary.total == pytest.approx(values.sum())


def test_small_and_huge_values():
    summary = Summary()
    for value in (0.0, 0.3, 1.0):
        summary.observe(value)
    assert summary.quantiles((0.0, 1.0)) == [0.0, 0.0]
    summary.observe(1e300)
    assert 0.9e12 < summary.quantiles((1.0,))[0] < 1.1e12


def test_what_is_older_than_the_window_is_forgotten_but_stays_in_count_and_sum():
    clock = Clock()
    summary = Summary(clock)
    summary.observe(1000.0)
    clock.now_s += WINDOW_S / 2
    summary.observe(10.0)
    assert summary.quantiles((1.0,))[0] == pytest.approx(1000, rel=0.01)
    clock.now_s += WINDOW_S / 2
    assert summary.quantiles((1.0,))[0] == pytest.approx(10, rel=0.01)
    clock.now_s += WINDOW_S
    assert math.isnan(summary.quantiles((1.0,))[0])
    assert (summary.count, summary.total) == (2, 1010.0)


def test_memory_is_bounded_however_long_it_runs():
    clock = Clock()
    summary = Summary(clock)
    for number in range(20_000):
        summary.observe(1.1 ** (number % 400))
        clock.now_s += 0.1
    assert len(summary._steps) <= 6
    assert max(map(len, summary._steps.values())) <= 100


def test_the_text_is_a_summary_of_prometheus():
    registry = CollectorRegistry()
    summaries = Summaries("s_us", "Some text", ("model",), (0.5, 0.99))
    registry.register(summaries)
    summaries.labels("m").observe(100.0)
    lines = generate_latest(registry).decode().splitlines()
    assert lines[:2] == ["# HELP s_us Some text", "# TYPE s_us summary"]
    labels = [line.rpartition(" ")[0] for line in lines[2:]]
    assert labels == [
        's_us{model="m",quantile="0.5"}',
        's_us{model="m",quantile="0.99"}',
        's_us_count{model="m"}',
        's_us_sum{model="m"}',
    ]
    assert float(lines[2].split()[-1]) == pytest.approx(100, rel=0.01)
    assert lines[4:] == ['s_us_count{model="m"} 1.0', 's_us_sum{model="m"} 100.0']
