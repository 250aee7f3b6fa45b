"""Messages as JSON values."""

from segserve.generated.inference import model_config_pb2 as pb
from segserve.transport.http.proto_json import message_json


def test_messages():
    config = pb.ModelConfig(name="m", max_batch_size=2)
    config.input.add(name="x", data_type=pb.TYPE_FP16, dims=[-1, 2**40])
    config.dynamic_batching.priority_queue_policy[3].max_queue_size = 5
    config.parameters["k"].string_value = "v"
    config.version_policy.latest.num_versions = 1
    value = message_json(config)
    assert value["name"] == "m"
    assert value["input"][0]["dims"] == [-1, 2**40]
    assert value["input"][0]["data_type"] == "TYPE_FP16"
    assert value["output"] == []
    batching = value["dynamic_batching"]
    assert batching["priority_queue_policy"]["3"]["max_queue_size"] == 5
    assert batching["preserve_ordering"] is False
    assert value["parameters"] == {"k": {"string_value": "v"}}
    assert value["version_policy"] == {"latest": {"num_versions": 1}}
    assert not {"optimization", "ensemble_scheduling"} & set(value)


def test_unknown_enum_values_stay_numbers():
    assert message_json(pb.ModelInput(data_type=99))["data_type"] == 99
