"""Looking into messages: what is found is what protobuf would have found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.core.errors import InvalidInput
from segserve.transport.grpc.wire import MAX_FIELDS, bytes_field_head, scan

SEVEN = frozenset((7,))


def field(number, content):
    return bytes_field_head(number, len(content)) + content


def test_fields_are_taken_out():
    data = field(1, b"a") + field(7, b"one") + b"\x10\x96\x01" + field(7, b"") + field(3, b"c")
    parts = scan(memoryview(data), SEVEN)
    assert bytes(parts.rest) == field(1, b"a") + b"\x10\x96\x01" + field(3, b"c")
    assert [(n, bytes(v)) for n, v in parts.found] == [(7, b"one"), (7, b"")]
    assert all(v.obj is data for _, v in parts.found)


def test_rest_in_one_piece_is_a_view():
    data = field(1, b"a" * 10) + field(7, b"x" * 1000)
    parts = scan(memoryview(data), SEVEN)
    assert isinstance(parts.rest, memoryview)
    assert bytes(parts.rest) == field(1, b"a" * 10)
    assert bytes(scan(memoryview(b""), SEVEN).rest) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x3a",
        b"\x3a\x05abc",
        b"\x3a" + b"\xff" * 11,
        b"\x00\x00",
        b"\x0b\x0c",
        b"\x0f",
        b"\x0d\0\0\0",
        b"\x09\0\0\0\0\0\0\0",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08",
    ],
)
def test_what_is_unusual_is_left_to_protobuf(data):
    assert scan(memoryview(data), SEVEN) is None


def test_fixed_width_fields_are_stepped_over():
    data = b"\x0d\1\2\3\4" + b"\x11\1\2\3\4\5\6\7\x08" + field(7, b"y")
    parts = scan(memoryview(data), SEVEN)
    assert bytes(parts.rest) == data[:14]
    assert bytes(parts.found[0][1]) == b"y"


def test_another_wire_type_is_not_wanted():
    parts = scan(memoryview(b"\x38\x05"), SEVEN)
    assert bytes(parts.rest) == b"\x38\x05"
    assert parts.found == ()


def test_a_flood_of_fields_is_refused():
    with pytest.raises(InvalidInput, match="more than"):
        scan(memoryview(b"\x3a\x00" * (MAX_FIELDS + 1)), SEVEN)


@given(st.binary(max_size=200))
def test_hostile_bytes(data):
    parts = scan(memoryview(data), SEVEN)
    if parts is not None:
        found_bytes = sum(len(v) for _, v in parts.found)
        assert len(parts.rest) + found_bytes + 2 * len(parts.found) <= len(data)
