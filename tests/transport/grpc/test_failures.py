"""Failures as gRPC tells them."""

from segserve.core.errors import NotFound, Overloaded
from segserve.transport.grpc.failures import failed


def test_the_status_of_the_kind():
    failure = failed(NotFound("no such model"))
    assert (failure.status, failure.text) == ("NOT_FOUND", "no such model")
    assert failure.trailers == (("segserve-error-kind", "not_found"),)


def test_another_status_and_a_hint():
    failure = failed(Overloaded("full", retry_after_s=0.25), "RESOURCE_EXHAUSTED")
    assert failure.status == "RESOURCE_EXHAUSTED"
    assert dict(failure.trailers) == {
        "segserve-error-kind": "overloaded",
        "retry-after-ms": "250",
        "grpc-retry-pushback-ms": "250",
    }


def test_a_hint_is_never_nothing():
    assert dict(failed(Overloaded("full", retry_after_s=1e-5)).trailers)["retry-after-ms"] == "1"
