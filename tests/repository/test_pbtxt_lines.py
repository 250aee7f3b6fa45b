from hypothesis import given
from hypothesis import strategies as st

from segserve.repository.pbtxt_lines import field_lines

TEXT = """name: "a # not a comment"
input [
  {
    name: "x", dims: [ 1,
      2 ]
  },
  { name: 'y' format: FORMAT_NCHW
    dims: 3 }
]
# output { name: "no" }
output < name: "z" >
output: { dims: -1 }
dynamic_batching { default_queue_policy { max_queue_size: 4 } }
parameters { key: "scale" value { string_value: "a: b { c" } }
"""


def test_lines_of_every_kind_of_field():
    lines = field_lines(TEXT)
    assert lines["name"] == 1
    assert lines["input[0].name"] == 4
    assert lines["input[0].dims"] == 4
    assert lines["input[1].name"] == 7
    assert lines["input[1].format"] == 7
    assert lines["input[1].dims"] == 8
    assert lines["output[0].name"] == 11
    assert lines["output[1].dims"] == 12
    assert lines["dynamic_batching.default_queue_policy.max_queue_size"] == 13
    assert lines["parameters[scale]"] == 14
    assert "FORMAT_NCHW" not in lines
    assert not any("no" in path or path.endswith(".b") for path in lines)


def test_of_parameters_with_one_key_the_last_counts():
    entry = 'parameters { key: "scale" value { string_value: "1" } }\n'
    assert field_lines(f"{entry}name: 'm'\n{entry}")["parameters[scale]"] == 3


@given(st.text(alphabet="ab:{}<>[]\"'#,\n 1-"))
def test_any_text_is_survived(text):
    lines = field_lines(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
