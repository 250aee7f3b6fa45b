"""Rules that both protocols share."""

import pytest

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import ModelRef
from segserve.transport.kserve import (
    load_parameters,
    model_ref,
    one_string,
    refuse_foreign_memory,
    unload_dependents,
)


def test_model_ref():
    assert model_ref("m", "") == ModelRef("m")
    assert model_ref("m", "12") == ModelRef("m", 12)


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "٣", "9" * 19, " 1"])
def test_a_version_is_a_number(version):
    with pytest.raises(InvalidInput, match="should be an integral value > 0"):
        model_ref("m", version)


def test_a_model_has_a_name():
    with pytest.raises(InvalidInput, match="names no model"):
        model_ref("", "1")


def test_shared_memory_and_classification():
    refuse_foreign_memory({"binary_data_size": 1}, "x", "m")
    for name in ("shared_memory_region", "shared_memory_byte_size", "classification"):
        with pytest.raises(Unsupported, match="'x'"):
            refuse_foreign_memory({name: 1}, "x", "m")


def test_load_parameters():
    told = load_parameters("m", {"config": "{}", "file:1/model.onnx": b"\1"})
    assert told.config_json == "{}"
    assert told.files == {"1/model.onnx": b"\1"}
    for bad in ({"config": b"{}"}, {"file:1/a": "text"}, {"other": "x"}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            load_parameters("m", bad)


def test_unload_parameters():
    assert not unload_dependents("m", {})
    assert unload_dependents("m", {"unload_dependents": True})
    with pytest.raises(InvalidInput, match="unrecognized unload parameter 'other'"):
        unload_dependents("m", {"other": True})
    with pytest.raises(InvalidInput, match="expected true or false, got str"):
        unload_dependents("m", {"unload_dependents": "yes"})


def test_one_string():
    data = memoryview(b"abc")
    assert one_string(data, batched=True).shape == (1, 1)
    assert one_string(data, batched=False).shape == (1,)
    assert one_string(data, batched=False)[0] is data
