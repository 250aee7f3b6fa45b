"""Bodies cut into messages, however they come."""

import gzip
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segserve.transport.grpc.message_reader import Intake, MessageReader, check_length, inflate
from segserve.transport.grpc.methods import RpcFailed

LIMIT = 100_000


def framed(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def reader(limit=LIMIT, total=10 * LIMIT):
    intake = Intake(limit, total)
    return MessageReader(intake), intake


def taken(one):
    return [(bytes(m.data), m.compressed) for m in one.messages]


@settings(deadline=None)
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
    assert (one.partial, intake._taken_bytes) == (True, 90_000)
    room = one.room()
    assert len(room) == 89_995
    room[:] = b"x" * len(room)
    one.filled(len(room))
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
    intake = Intake(LIMIT, 2 * LIMIT)
    readers = [MessageReader(intake) for _ in range(3)]
    head = memoryview(struct.pack(">BI", 0, LIMIT) + b"x")
    for one in readers[:2]:
        one.feed(head)
    with pytest.raises(RpcFailed, match="--max-pending-bytes"):
        readers[2].feed(head)
    readers[0].drop()
    readers[0].drop()
    readers[2].feed(head)
    assert intake._taken_bytes == 2 * LIMIT


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
    for broken in (b"no", press(message)[:-9]):
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
