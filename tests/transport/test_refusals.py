"""What is logged at the border, and what is not."""

import pytest

from segserve.core.errors import Cancelled, LoadFailed, NotFound, Overloaded
from segserve.transport.refusals import tell, tell_text


def lines(caplog):
    return [(r.message, r.request_id, r.method, r.reason, r.error) for r in caplog.records]


def test_a_failure_is_told_once(caplog):
    error = NotFound("no such model")
    error.request_id = "r1"
    tell("s/M", error)
    tell("s/M", error)
    assert lines(caplog) == [("request_failed", "r1", "s/M", "OTHER", "no such model")]
    assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize("error", [LoadFailed("told by the control"), Cancelled("gone")])
def test_what_others_have_told_or_nobody_hears(caplog, error):
    tell("s/M", error)
    assert lines(caplog) == []


def test_reasons_are_those_of_the_metrics(caplog):
    tell("s/M", Overloaded("full"))
    tell_text("s/M", "OTHER", "no message")
    assert lines(caplog) == [
        ("request_failed", "<id_unknown>", "s/M", "REJECTED", "full"),
        ("request_failed", "<id_unknown>", "s/M", "OTHER", "no message"),
    ]
