import re

import pytest

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.repository.model_config import InstanceKind
from segserve.repository.pbtxt import (
    config_from_json,
    format_config,
    parse_config,
    read_config,
    unhonoured_fields,
)

GOOD = """
name: "m"  # a comment
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] } ]
output { name: "text" data_type: TYPE_STRING dims: 1 }
instance_group { kind: KIND_CPU count: 2 }
dynamic_batching { max_queue_delay_microseconds: 500 }
parameters { key: "family" value { string_value: "semantic" } }
"""


def test_a_config_by_triton_s_names():
    config = parse_config(GOOD, source="config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("m", "onnxruntime", 8)
    assert config.input_specs() == (TensorSpec("image", DataType.FP32, (3, -1, -1)),)
    assert config.output_specs() == (TensorSpec("text", DataType.BYTES, (1,)),)
    assert config.instance_group[0].kind is InstanceKind.CPU
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert dict(config.parameters) == {"family": "semantic"}
    assert config.optimization is None
    assert unhonoured_fields(config) == ()


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("max_bach_size: 3", ":1:1", ("unknown field 'max_bach_size' in ModelConfig: did you mean "
         "'max_batch_size'?")),
        ('name: "a"\ninput {\n  data_typ: TYPE_FP32 }', ":3:3", "did you mean 'data_type'?"),
        ("input { data_type: TYPE_FP31 }", ":1:20", "did you mean 'TYPE_FP32'?"),
        ("instance_group { kind: GPU }", ":1:24", "did you mean 'KIND_GPU'?"),
        ("\n\nmax_batch_size: big", ":3:17", "integer"),
        ('input { dims: "x" }', ":1:15", "integer"),
        ("max_batch_size: 99999999999", ":1:17", "out of range"),
        ('name: "a', ":1:7", "missing ending quote"),
        ("input {", ":1:7", "Expected"),
        ('name: "a" name: "b"', ":1:17", "multiple"),
        ("dynamic_batching {} sequence_batching {}", ":1:21", "oneof"),
    ],
)  # fmt: skip
def test_errors_name_line_column_and_the_nearest_name(text, place, said):
    with pytest.raises(LoadFailed) as caught:
        parse_config(text, source="m/config.pbtxt")
    assert caught.value.message.startswith(f"m/config.pbtxt{place}: ")
    assert said.lower() in caught.value.message.lower()


def test_a_field_like_nothing_lists_the_fields():
    with pytest.raises(LoadFailed, match="expected one of name, platform"):
        parse_config("qqqq: 1", source="c")


@pytest.mark.parametrize("text", ["\x00", "{" * 5000, "input { " * 5000, "[a.b]: 1", "}"])
def test_rubbish_is_refused_and_nothing_else_happens(text):
    with pytest.raises(LoadFailed):
        parse_config(text, source="c")


def test_files_are_read_as_utf8_and_bounded(tmp_path):
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "m"\n# caf\xe9\n')
    with pytest.raises(LoadFailed, match=r"c:2: not UTF-8"):
        read_config(path, source="c")
    path.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(LoadFailed, match="larger than"):
        read_config(path, source="c")
    with pytest.raises(LoadFailed, match="cannot be read"):
        read_config(tmp_path / "nothing", source="c")
    path.write_text('name: "m"')
    config, data = read_config(path, source="c")
    assert (config.name, data) == ("m", b'name: "m"')


def test_lines_are_known_for_messages():
    config = parse_config(GOOD, source="c")
    assert config.origin.at("output[0].dims") == "c:6: output[0].dims"
    assert config.origin.at("dynamic_batching.priority_levels") == (
        "c:8: dynamic_batching.priority_levels"
    )
    assert config.origin.at("parameters[family]") == "c:9: parameters[family]"
    assert config.origin.at("version_policy") == "c: version_policy"


def test_json_of_a_load_request():
    config = config_from_json(
        '{"max_batch_size": 4, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1"]}],'
        ' "parameters": {"family": {"string_value": "semantic"}}}'
    )
    assert config.max_batch_size == 4
    assert config.input[0].dims == (-1,)
    assert config.parameters["family"] == "semantic"
    assert config_from_json('{"maxBatchSize": 0}').origin.wrote("max_batch_size")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "got a JSON list, expected an object"),
        ('{"max_bach_size": 3}', "did you mean 'max_batch_size'?"),
        ('{"input": [{"dims": ["x"]}]}', "dims"),
        ('{"input": [{"data_type": "TYPE_FP31"}]}', "did you mean 'TYPE_FP32'?"),
        ('{"input": [{"data_type": 99}]}', "expected one of TYPE_INVALID, TYPE_BOOL"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_json_says_what(text, said):
    with pytest.raises(InvalidInput) as caught:
        config_from_json(text)
    assert caught.value.message.startswith("the load request's config: ")
    assert said in caught.value.message


def test_what_is_formatted_parses_to_the_same():
    config = parse_config(GOOD, source="c")
    assert parse_config(format_config(config), source="d") == config


def test_examples_in_the_docs_parse(repo_root):
    text = (repo_root / "docs" / "configuration.md").read_text()
    blocks = re.findall(r"```pbtxt\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        assert unhonoured_fields(parse_config(block, source="docs")) == ()
