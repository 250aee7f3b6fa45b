"""What outputs are counted at before the model has run."""

from segserve.core.tensor import DataType, TensorSpec
from segserve.serving.outputs_size import OutputsSize

FIXED = TensorSpec("boxes", DataType.FP32, (100, 4))
FREE = TensorSpec("logits", DataType.FP16, (19, -1, -1))


def test_declared_outputs_are_known() -> None:
    size = OutputsSize([FIXED])
    size.seen(1_000, 1_600)
    assert size.expected_bytes(10) == size.expected_bytes(10_000) == 1_600


def test_free_outputs_are_learnt_and_grow_with_the_input() -> None:
    size = OutputsSize([FIXED, FREE])
    assert size.expected_bytes(1_000) == 1_600
    size.seen(1_000, 1_600 + 5_000)
    assert size.expected_bytes(2_000) == 1_600 + 10_000
    size.seen(1_000, 1_600 + 4_000)
    assert size.expected_bytes(2_000) == 1_600 + 10_000
