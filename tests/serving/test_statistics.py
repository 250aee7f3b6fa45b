"""The meter adds up what Triton's statistics tell."""

from segserve.core.messages import Timings
from segserve.serving.statistics import ModelMeter


def test_sums_and_equal_compute_counts():
    meter = ModelMeter()
    meter.batch_done(2, 0.001, 0.010)
    meter.batch_done(2, 0.001, 0.020)
    meter.batch_done(1, 0.0, 0.005)
    meter.request_done(Timings(decode_s=0.002, queue_s=0.5, infer_s=0.01, post_s=0.003), 0.6)
    meter.request_failed(0.1)
    view = meter.view("m", "3")
    assert (view.name, view.version) == ("m", "3")
    assert (view.inference_count, view.execution_count) == (5, 3)
    stats = view.inference_stats
    assert (stats.success.count, stats.success.ns) == (1, 600_000_000)
    assert (stats.fail.count, stats.fail.ns) == (1, 100_000_000)
    assert stats.queue.ns == 500_000_000
    counts = {stats.compute_input.count, stats.compute_infer.count, stats.compute_output.count}
    assert counts == {1}
    assert [
        (b.batch_size, b.compute_infer.count, b.compute_infer.ns) for b in view.batch_stats
    ] == [
        (1, 1, 5_000_000),
        (2, 2, 30_000_000),
    ]
    assert view.last_inference_ms > 1_700_000_000_000


def test_a_fresh_meter_is_zero():
    view = ModelMeter().view("m", "1")
    assert (view.last_inference_ms, view.inference_count, view.batch_stats) == (0, 0, ())
