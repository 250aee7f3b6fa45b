"""The orientation tag, and blocks that do not hold it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.ops.exif import Orientation, read_orientation


def block(order: str, entries: list[tuple[int, int, int]]) -> memoryview:
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(order + "HHIHH", tag, kind, 1, v, 0) for tag, kind, v in entries)
    data = head + struct.pack(order + "IH", 8, len(entries)) + body
    return memoryview(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_in_both_byte_orders(order: str, value: int) -> None:
    assert read_orientation(block(order, [(0x10F, 2, 9), (0x112, 3, value)])) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        bytes(block("<", [])),
        bytes(block("<", [(0x112, 3, 0)])),
        bytes(block("<", [(0x112, 3, 9)])),
        bytes(block("<", [(0x112, 4, 6)])),
        bytes(block("<", [(0x112, 3, 6)]))[:-1],
    ],
)
def test_what_cannot_be_read_is_upright(data: bytes) -> None:
    assert read_orientation(memoryview(data)) is Orientation.UPRIGHT


@given(st.sampled_from([b"II*\0", b"MM\0*", b""]), st.binary(max_size=80))
def test_hostile_bytes(start: bytes, rest: bytes) -> None:
    assert read_orientation(memoryview(start + rest)) in list(Orientation)
