"""Bodies cut into messages, however they come."""

import gzip
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segserve.transport.grpc.message_reader import (
    MESSAGE_OVERHEAD_BYTES,
    Intake,
    MessageReader,
    check_length,
    inflate,
)
from segserve.transport.grpc.methods import RpcFailed

LIMIT = 100_000


def framed(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def reader(limit=LIMIT, total=10 * LIMIT):
    intake = Intake(limit, total)
    return MessageReader(intake), intake


def taken(one):
    messages = [one.pop() for _ in range(len(one))]
    return [(bytes(m.data), m.compressed) for m in messages]


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 50), max_size=99))
def test_cut_anywhere(messages, cuts):
    body = memoryview(b"".join(map(framed, messages)))
    one, intake = reader()
    while body:
        size = cuts.pop() if cuts else len(body)
        one.feed(body[:size])
        body = body[size:]
    assert taken(one) == [(message, False) for message in messages]
    assert (one.partial, intake._taken_bytes) == (False, 0)


def test_a_long_message_is_read_into_its_place():
    one, intake = reader()
    one.feed(memoryview(framed(bytes(90_000), 1)[:10]))
    assert (one.partial, intake._taken_bytes) == (True, 5)  # what has come, not what was announced
    room = one.room()
    assert len(room) == 89_995
    room[:] = b"x" * len(room)
    one.filled(len(room))
    assert (len(one), intake._taken_bytes) == (1, 90_000 + MESSAGE_OVERHEAD_BYTES)
    assert taken(one) == [(bytes(5) + b"x" * 89_995, True)]
    assert (one.room(), one.partial, intake._taken_bytes) == (None, False, 0)


def test_a_whole_message_is_copied_so_that_the_buffer_may_be_used_again():
    buffer = bytearray(framed(b"abc"))
    one, _ = reader()
    one.feed(memoryview(buffer))
    buffer[5:] = b"zzz"
    assert taken(one) == [(b"abc", False)]


@pytest.mark.parametrize("rest", [b"", b"x", bytes(LIMIT + 1)])
def test_a_message_over_the_limit(rest):
    one, intake = reader()
    with pytest.raises(RpcFailed, match=r"100001 vs\. 100000.*--max-request-bytes") as caught:
        one.feed(memoryview(struct.pack(">BI", 0, LIMIT + 1) + rest))
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    assert intake._taken_bytes == 0


def test_all_messages_together_are_bounded():
    """Whole ones that nobody has taken, and the parts of others that have come."""
    intake = Intake(LIMIT, 2 * LIMIT)
    first, second, third = (MessageReader(intake) for _ in range(3))
    first.feed(memoryview(framed(bytes(LIMIT))))
    second.feed(memoryview(framed(bytes(LIMIT))[: LIMIT - 1000]))
    with pytest.raises(RpcFailed, match="--max-pending-bytes") as caught:
        third.feed(memoryview(framed(bytes(1000))))
    first.pop()
    third.feed(memoryview(framed(bytes(1000))))
    second.drop()
    second.drop()
    third.drop()
    assert (len(third), intake._taken_bytes) == (0, 0)
    assert dict(caught.value.trailers)["segserve-error-kind"] == "overloaded"


def test_what_was_announced_alone_costs_nothing():
    one, intake = reader(limit=2**31 - 1)
    one.feed(memoryview(struct.pack(">BI", 0, 2**31 - 1)))
    assert intake._taken_bytes == 0


def test_many_empty_messages_are_bounded_too():
    one, _ = reader(limit=1000, total=10 * MESSAGE_OVERHEAD_BYTES)
    with pytest.raises(RpcFailed, match="--max-pending-bytes"):
        one.feed(memoryview(framed(b"") * 11))


def test_check_length():
    check_length(5, 5)
    with pytest.raises(RpcFailed):
        check_length(6, 5)


@pytest.mark.parametrize(
    ("encoding", "press"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_inflate(encoding, press):
    message = bytes(range(256)) * 40
    assert inflate(press(message), encoding, len(message)) == message
    assert inflate(memoryview(press(b"")), encoding, 0) == b""
    with pytest.raises(RpcFailed, match="larger than max") as caught:
        inflate(press(message), encoding, len(message) - 1)
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    for broken in (b"no", press(message)[:-9], press(message) + b"more"):
        with pytest.raises(RpcFailed, match="decompressed") as caught:
            inflate(broken, encoding, len(message))
        assert caught.value.status == "INTERNAL"


@pytest.mark.parametrize(
    ("encoding", "status"), [(b"", "INTERNAL"), (b"identity", "INTERNAL"), (b"br", "UNIMPLEMENTED")]
)
def test_other_encodings(encoding, status):
    with pytest.raises(RpcFailed, match="expected one of identity,deflate,gzip") as caught:
        inflate(b"x", encoding, 10)
    assert caught.value.status == status
    assert dict(caught.value.trailers) == {"grpc-accept-encoding": "identity,deflate,gzip"}
