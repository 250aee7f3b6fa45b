import dataclasses

import pytest

from segserve.core.tensor import DataType, TensorSpec
from segserve.export.recipe import ExportConfig, Provenance


def test_a_configuration_is_frozen_and_empty_by_default() -> None:
    spec = TensorSpec("image", DataType.FP32, (3, -1, -1))
    config = ExportConfig(inputs=(spec,), outputs=(spec,), max_batch_size=2)
    assert dict(config.parameters) == {}
    assert config.labels == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_batch_size = 3


def test_provenance_is_words() -> None:
    assert all(field.type == "str" for field in dataclasses.fields(Provenance))
