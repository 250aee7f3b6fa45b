"""Messages are immutable, and their defaults are not shared."""

from dataclasses import FrozenInstanceError

import pytest

from segserve.core.messages import InferRequest, ModelRef


def test_frozen_with_fresh_parameters():
    first, second = (InferRequest(model=ModelRef("m"), inputs={}) for _ in range(2))
    assert first.parameters == {}
    assert first.parameters is not second.parameters
    with pytest.raises(FrozenInstanceError):
        first.id = "x"


def test_a_reference_in_words():
    assert ModelRef("m").described() == "'m'"
    assert ModelRef("m", 3).described() == "'m' version 3"
