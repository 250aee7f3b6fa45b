"""What a call's headers say."""

import pytest

from segserve.transport.grpc.methods import RpcFailed
from segserve.transport.grpc.rpc_head import read_head

POST = ((b":method", b"POST"), (b":path", b"/s/M"), (b"content-type", b"application/grpc+proto"))


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"0S", 0), (b"250m", 0.25), (b"12345678u", 12.345678)],
)
def test_head(timeout, seconds):
    head = read_head((*POST, (b"grpc-timeout", timeout), (b"grpc-encoding", b"gzip")))
    assert head.timeout_s == pytest.approx(seconds)
    assert (head.path, head.encoding) == (b"/s/M", b"gzip")
    assert ("grpc-encoding", "gzip") in head.metadata
    assert all(not name.startswith(":") for name, _ in head.metadata)


def test_head_without_a_deadline():
    assert read_head(POST).timeout_s is None


@pytest.mark.parametrize(
    "headers",
    [
        POST[1:],
        POST[:2],
        ((b":method", b"GET"), *POST[1:]),
        (*POST, (b"grpc-timeout", b"123456789S")),
        (*POST, (b"grpc-timeout", b"1")),
        (*POST, (b"grpc-timeout", b"-1S")),
    ],
)
def test_what_is_no_call(headers):
    with pytest.raises(RpcFailed) as caught:
        read_head(headers)
    assert caught.value.status == "INVALID_ARGUMENT"
