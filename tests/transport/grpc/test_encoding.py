"""Encoding is measured and told."""

from segserve.core.messages import InferResponse, ModelRef
from segserve.transport.grpc.encoding import measured


class Told:
    def answer_encoded(self, answer, duration_s, size_bytes):
        self.told = (answer, duration_s, size_bytes)


def test_bytes_pass_through_and_the_engine_hears_of_them():
    engine = Told()
    answer = InferResponse(ModelRef("m", 1), {})
    assert measured(engine, answer, lambda: b"answer") == b"answer"
    heard, duration_s, size_bytes = engine.told
    assert (heard, size_bytes) == (answer, 6)
    assert duration_s >= 0
