"""Every kind of failure has its answer in both protocols."""

import http

import grpc

from segserve.core.errors import ErrorKind
from segserve.transport.status import STATUS


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(ErrorKind)


def test_statuses_exist() -> None:
    assert {status.grpc for status in STATUS.values()} <= set(grpc.StatusCode.__members__)
    codes = [http.HTTPStatus(status.http) for status in STATUS.values()]
    assert all(400 <= code < 600 for code in codes)


def test_no_failure_is_answered_as_success() -> None:
    assert "OK" not in {status.grpc for status in STATUS.values()}
