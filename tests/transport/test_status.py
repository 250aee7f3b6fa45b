"""Every kind of failure has a status in both protocols."""

from http import HTTPStatus

import grpc
import pytest

from segserve.core.errors import ErrorKind, InvalidInput
from segserve.transport.status import MESSAGE_LIMIT_CHARS, STATUS, message_of, status_of


def test_no_kind_is_forgotten():
    assert set(STATUS) == set(ErrorKind)


@pytest.mark.parametrize("overload", ["unavailable", "resource_exhausted"])
@pytest.mark.parametrize("kind", ErrorKind)
def test_codes_exist(kind, overload):
    status = status_of(kind, overload)
    assert grpc.StatusCode[status.grpc] is not grpc.StatusCode.OK
    assert HTTPStatus(status.http) >= 400


def test_a_full_queue_can_be_told_apart():
    assert status_of(ErrorKind.OVERLOADED).grpc == "UNAVAILABLE"
    assert status_of(ErrorKind.OVERLOADED, "resource_exhausted").grpc == "RESOURCE_EXHAUSTED"
    assert status_of(ErrorKind.OVERLOADED, "resource_exhausted").http == 429
    assert status_of(ErrorKind.UNAVAILABLE, "resource_exhausted").grpc == "UNAVAILABLE"


def test_long_texts_are_cut():
    assert message_of(InvalidInput("short")) == "short"
    text = message_of(InvalidInput("a" * 10_000))
    assert text.endswith("(10000 characters)")
    assert len(text) < MESSAGE_LIMIT_CHARS + 40
