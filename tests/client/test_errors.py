"""The client's exception keeps what the server said."""

import pickle

from segserve.client.errors import SegserveError, unreadable
from segserve.core.errors import ErrorKind, ServiceError


def test_carries_kind_message_and_hint():
    error = SegserveError(ErrorKind.OVERLOADED, "full", retry_after_s=0.5)
    assert (error.kind, error.message, str(error), error.retry_after_s) == (
        ErrorKind.OVERLOADED,
        "full",
        "full",
        0.5,
    )
    assert isinstance(error, ServiceError)


def test_travels_between_processes():
    sent = SegserveError(ErrorKind.NOT_FOUND, "gone", retry_after_s=2, answered=True)
    error = pickle.loads(pickle.dumps(sent))
    assert (error.kind, error.message, error.retry_after_s) == (ErrorKind.NOT_FOUND, "gone", 2)
    assert error.answered
    assert not pickle.loads(pickle.dumps(unreadable("x"))).answered


def test_unreadable_is_the_callers_data():
    assert unreadable("x").kind is ErrorKind.INVALID_ARGUMENT
