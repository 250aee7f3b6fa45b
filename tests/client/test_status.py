"""Failures of gRPC keep their kind and hint."""

import grpc
import pytest

from segserve.client.status import from_rpc, from_stream
from segserve.core.errors import ErrorKind
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


class Failure:
    def __init__(self, code, details="why", trailers=()):
        self._told = code, details, trailers

    def code(self):
        return self._told[0]

    def details(self):
        return self._told[1]

    def trailing_metadata(self):
        return self._told[2]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ErrorKind.INVALID_ARGUMENT),
        (grpc.StatusCode.NOT_FOUND, ErrorKind.NOT_FOUND),
        (grpc.StatusCode.UNIMPLEMENTED, ErrorKind.UNSUPPORTED),
        (grpc.StatusCode.UNAVAILABLE, ErrorKind.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ErrorKind.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, ErrorKind.CANCELLED),
        (grpc.StatusCode.INTERNAL, ErrorKind.INTERNAL),
        (grpc.StatusCode.UNKNOWN, ErrorKind.INTERNAL),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorKind.TOO_LARGE),
        (None, ErrorKind.INTERNAL),
    ],
)
def test_kinds(code, kind):
    assert from_rpc(Failure(code)).kind is kind


@pytest.mark.parametrize(
    ("trailers", "hint_s"),
    [
        ((), None),
        (None, None),
        ((("retry-after-ms", "250"),), 0.25),
        ((("grpc-retry-pushback-ms", "100"), ("retry-after-ms", "250")), 0.1),
        ((("grpc-retry-pushback-ms", "-1"), ("retry-after-ms", "250")), None),
        ((("retry-after", "2"),), 2.0),
        ((("retry-after-ms", "soon"),), None),
        ((("retry-after-ms", b"1"),), None),
    ],
)
def test_hints(trailers, hint_s):
    assert from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, "", trailers)).retry_after_s == hint_s


def test_exhausted_with_a_hint_is_overload():
    failure = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", (("retry-after-ms", "1"),))
    assert from_rpc(failure).kind is ErrorKind.OVERLOADED


def test_a_failure_without_words_names_its_status():
    assert from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, None)).message == "unavailable"


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_crosses_the_stream(kind):
    number = pb.ErrorKind.Value(f"ERROR_KIND_{kind.name}")
    error = from_stream(pb.Error(kind=number, message="why"))
    assert (error.kind, error.message, error.retry_after_s) == (kind, "why", None)


def test_a_kind_of_tomorrow_is_internal():
    assert from_stream(pb.Error(kind=99)).kind is ErrorKind.INTERNAL
    assert from_stream(pb.Error()).kind is ErrorKind.INTERNAL


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_the_kind_that_the_server_names_goes_before_the_status(kind):
    trailers = (("segserve-error-kind", kind.value),)
    error = from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, "", trailers))
    assert (error.kind, error.answered) == (kind, True)
    assert not from_rpc(Failure(grpc.StatusCode.UNAVAILABLE)).answered


def test_a_kind_of_tomorrow_falls_back_to_the_status():
    trailers = (("segserve-error-kind", "melted"),)
    failure = Failure(grpc.StatusCode.NOT_FOUND, "", trailers)
    assert from_rpc(failure).kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "kind", "flag"),
    [
        ("SERVER: Received message larger than max (9 vs. 8)", "TOO_LARGE", "--max-request-bytes"),
        ("Concurrent RPC limit exceeded!", "OVERLOADED", "--max-concurrent-rpcs"),
    ],
)
def test_limits_that_grpc_itself_enforces(words, kind, flag):
    error = from_rpc(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, words))
    assert error.kind is ErrorKind[kind]
    assert error.message.startswith(words)
    assert flag in error.message


def test_a_server_that_names_the_kind_has_said_what_to_do():
    words = "Received message larger than max (9 vs. 8); raise the limit with --max-request-bytes"
    trailers = (("segserve-error-kind", "too_large"),)
    error = from_rpc(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, words, trailers))
    assert (error.kind, error.message) == (ErrorKind.TOO_LARGE, words)
