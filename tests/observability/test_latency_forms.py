"""What ``--metrics-config`` may say."""

import pytest

from segserve.observability.latency_forms import LatencyForms, read_forms


def test_the_defaults_are_tritons():
    assert read_forms(()) == LatencyForms(counters=True, summaries=False, first_response=False)


def test_what_triton_takes():
    forms = read_forms(
        [
            "counter_latencies=false",
            "summary_latencies=true",
            "histogram_latencies=TRUE",
            "summary_quantiles=0.5:0.05,0.9:0.01",
        ]
    )
    assert forms == LatencyForms(
        counters=False, summaries=True, first_response=True, quantiles=(0.5, 0.9)
    )
    twice = read_forms(["summary_quantiles=0.5:0.05,0.9:0.01,0.5:0.01"])
    assert twice.quantiles == (0.5, 0.9)
    assert read_forms(["summary_latencies=true", "summary_latencies=false"]) == LatencyForms()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary_latency=true", "did you mean summary_latencies?"),
        ("summary_latencies", "expected summary_latencies=true or summary_latencies=false"),
        ("summary_latencies=yes", "expected summary_latencies=true or summary_latencies=false"),
        ("summary_quantiles=0.5", "QUANTILE:ERROR"),
        ("summary_quantiles=", "QUANTILE:ERROR"),
        ("summary_quantiles=0.5:0.05:1", "QUANTILE:ERROR"),
        ("summary_quantiles=50:0.05", "from 0 to 1"),
        ("summary_quantiles=nan:0.05", "from 0 to 1"),
        ("", "expected counter_latencies, summary_latencies"),
    ],
)
def test_what_is_wrong_is_named(text, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        read_forms([text])
