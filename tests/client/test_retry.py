"""The retry decision, by plain calls."""

import pytest

from segserve.client.errors import SegserveError
from segserve.client.retry import RetryPolicy, wait_before_retry_s
from segserve.core.errors import ErrorKind


def decide(kind=ErrorKind.OVERLOADED, hint_s=1.0, sent=1, remaining_s=300.0, chance=0.0):
    error = SegserveError(kind, "no", retry_after_s=hint_s)
    policy = RetryPolicy(attempts=3, longest_wait_s=10.0)
    return wait_before_retry_s(error, sent, policy, remaining_s=remaining_s, chance=chance)


def test_waits_as_long_as_the_server_asked():
    assert decide() == 1.0
    assert decide(hint_s=0.0) == 0.0


def test_doubles_and_spreads():
    assert decide(sent=2) == 2.0
    assert decide(chance=0.5) == 1.25


def test_attempts_are_bounded():
    assert decide(sent=3) is None


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_only_a_server_that_is_full_or_leaving_is_asked_again(kind):
    again = {ErrorKind.UNAVAILABLE, ErrorKind.OVERLOADED, ErrorKind.QUEUE_TIMEOUT}
    assert (decide(kind) is not None) == (kind in again)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_nothing_is_repeated_without_the_servers_word(kind):
    assert decide(kind, hint_s=None) is None


def test_never_past_the_deadline_nor_longer_than_the_bound():
    assert decide(remaining_s=1.0) is None
    assert decide(hint_s=11.0) is None
