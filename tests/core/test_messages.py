"""Messages are immutable, and their defaults are not shared."""

from dataclasses import FrozenInstanceError

import pytest

from segserve.core.messages import InferRequest, ModelRef, Timings


def test_frozen_with_fresh_parameters():
    first, second = (InferRequest(model=ModelRef("m"), inputs={}) for _ in range(2))
    assert first.parameters == {}
    assert first.parameters is not second.parameters
    with pytest.raises(FrozenInstanceError):
        first.id = "x"


def test_a_reference_in_words():
    assert ModelRef("m").described() == "'m'"
    assert ModelRef("m", 3).described() == "'m' version 3"


def test_the_slowest_of_several_images():
    one = Timings(decode_s=1, queue_s=2, infer_s=3)
    other = Timings(decode_s=2, batch_s=4, infer_s=1, post_s=5)
    assert Timings.slowest([one, other]) == Timings(2, 2, 4, 3, 5)
