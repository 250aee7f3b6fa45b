from dataclasses import FrozenInstanceError, replace

import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.model_config import ModelConfig, ModelInput, Origin
from segserve.repository.pbtxt import parse_config


def test_changes_reach_the_message_and_the_rest_stays():
    config = parse_config("response_cache { enable: true } max_batch_size: 2", source="c")
    message = replace(config, max_batch_size=6, name="n").to_proto()
    assert (message.max_batch_size, message.name) == (6, "n")
    assert message.response_cache.enable


def test_a_tensor_without_a_type_has_no_spec():
    config = ModelConfig(name="m", input=(ModelInput("x"),), output=())
    with pytest.raises(LoadFailed, match="model 'm': tensor 'x' has no data_type"):
        config.input_specs()


def test_configs_are_frozen_and_compare_by_content():
    one, two = parse_config('name: "m"', source="a"), parse_config('\nname: "m"', source="b")
    assert one == two
    with pytest.raises(FrozenInstanceError):
        one.name = "n"


def test_places_fall_back_to_what_encloses_them():
    origin = Origin("c", {"input": 3, "input[1]": 5, "input[1].dims": 6})
    assert origin.at("input[1].dims") == "c:6: input[1].dims"
    assert origin.at("input[1].name") == "c:5: input[1].name"
    assert origin.at("input[7].name") == "c:3: input[7].name"
    assert origin.at("output") == "c: output"
    assert Origin().at("input[0].dims") == "input[0].dims"
