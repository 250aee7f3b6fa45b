"""Failures as gRPC tells them."""

from segserve.core.errors import NotFound, Overloaded
from segserve.transport.grpc.failures import failed, tell
from segserve.transport.grpc.methods import RpcFailed


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


def test_told_once(caplog):
    failure = RpcFailed("INTERNAL", "the last message is not whole")
    tell("s/M", failure)
    tell("s/M", failure)
    tell("s/M", failed(Overloaded("full")))
    told = [(record.method, record.reason, record.error) for record in caplog.records]
    assert told == [("s/M", "OTHER", "the last message is not whole"), ("s/M", "REJECTED", "full")]
