"""Statistics as a message."""

from dataclasses import fields

from segserve.serving.views import InferStatistics, ModelStatistics, StatisticDuration
from segserve.transport.grpc.statistics import statistics_message


def test_every_duration_is_there():
    sums = InferStatistics(queue=StatisticDuration(1, 2**60))
    message = statistics_message(ModelStatistics("m", "1", 5, 6, 7, sums, ()))
    assert (message.last_inference, message.inference_count, message.execution_count) == (5, 6, 7)
    assert all(message.inference_stats.HasField(f.name) for f in fields(InferStatistics))
    assert (message.inference_stats.queue.count, message.inference_stats.queue.ns) == (1, 2**60)
