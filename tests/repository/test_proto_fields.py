import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.generated.inference import model_config_pb2
from segserve.repository.model_config import ModelConfig
from segserve.repository.pbtxt import format_config, parse_config
from segserve.repository.proto_fields import read_fields, write_fields

SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: 7,
    FieldDescriptor.CPPTYPE_INT64: -8,
    FieldDescriptor.CPPTYPE_UINT32: 9,
    FieldDescriptor.CPPTYPE_UINT64: 10,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: 0.25,
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_STRING: "text",
}


def value_of(field):
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return SCALARS[field.cpp_type]


def fill(message, choice):
    """Set every field; of each oneof the member number `choice`, modulo their count."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[choice % len(oneof.fields)] is not field:
            continue
        fill_field(message, field, choice)


def fill_field(message, field, choice):
    target = getattr(message, field.name)
    if field.message_type is None:
        if field.is_repeated:
            target.extend([value_of(field)] * 2)
        else:
            setattr(message, field.name, value_of(field))
    elif field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        if value.message_type is None:
            target[value_of(key)] = value_of(value)
        else:
            fill(target[value_of(key)], choice)
    elif field.is_repeated:
        fill(target.add(), choice)
        fill(target.add(), choice + 1)
    else:
        target.SetInParent()
        fill(target, choice)


def round_trip(message):
    back = model_config_pb2.ModelConfig()
    write_fields(read_fields(ModelConfig, message), back)
    return back


@pytest.mark.parametrize("choice", range(3))
def test_every_field_of_the_message_survives(choice):
    message = model_config_pb2.ModelConfig()
    fill(message, choice)
    assert len(message.ListFields()) >= 23
    assert round_trip(message) == message
    config = parse_config(str(message), source="c")
    assert config.to_proto() == message
    assert parse_config(format_config(config), source="d").to_proto() == message


def test_an_empty_message_survives():
    message = model_config_pb2.ModelConfig()
    assert round_trip(message) == message


def test_presence_survives():
    text = (
        "dynamic_batching {} optimization { graph {} } version_policy { all {} } "
        'response_cache {} model_warmup { inputs { key: "x" value { zero_data: false } } }'
    )
    message = parse_config(text, source="c").to_proto()
    assert message.HasField("dynamic_batching")
    assert message.HasField("response_cache")
    assert message.optimization.HasField("graph")
    assert message.version_policy.WhichOneof("policy_choice") == "all"
    assert message.model_warmup[0].inputs["x"].WhichOneof("input_data_type") == "zero_data"


@st.composite
def messages(draw, descriptor=model_config_pb2.ModelConfig.DESCRIPTOR, cls=None, depth=0):
    message = (cls or model_config_pb2.ModelConfig)()
    for field in descriptor.fields:
        if depth < 4 and draw(st.booleans()):
            fill_field(message, field, draw(st.integers(0, 5)))
    return message


@settings(max_examples=100)
@given(messages())
def test_any_part_of_it_survives(message):
    assert round_trip(message) == message
