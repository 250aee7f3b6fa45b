"""Encoding is measured and told."""

from segserve.core.messages import ModelRef
from segserve.transport.grpc.encoding import measured


class Told:
    def answer_encoded(self, model, duration_s, size_bytes):
        self.told = (model, duration_s, size_bytes)


def test_bytes_pass_through_and_the_engine_hears_of_them():
    engine = Told()
    assert measured(engine, ModelRef("m", 1), lambda: b"answer") == b"answer"
    model, duration_s, size_bytes = engine.told
    assert (model, size_bytes) == (ModelRef("m", 1), 6)
    assert duration_s >= 0
