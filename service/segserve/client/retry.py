"""When a failed call may be sent again: only when the server asked for it.

A call that may have reached a server is not repeated on a guess: a lost connection costs the
caller one error instead of costing a loaded fleet the work twice. Connecting is different: nothing
was sent yet, so gRPC's own bounded reconnecting goes on for `RetryPolicy.connect_timeout_s`.
"""

from __future__ import annotations

from dataclasses import dataclass

from segserve.client.errors import SegserveError
from segserve.core.errors import ErrorKind

_REPEATABLE = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.OVERLOADED, ErrorKind.QUEUE_TIMEOUT})
_JITTER = 0.5


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and how long.

    Parameters
    ----------
    attempts : int >= 1
        Sendings of one call, the first included.
    longest_wait_s : float
        A server that asks for a longer wait is not asked again.
    connect_timeout_s : float
        How long a client that has no connection waits for one before it sends all the same.
    """

    attempts: int = 4
    longest_wait_s: float = 10.0
    connect_timeout_s: float = 5.0


def wait_before_retry_s(
    error: SegserveError, sent: int, policy: RetryPolicy, *, remaining_s: float, chance: float
) -> float | None:
    """Decide about another attempt.

    Parameters
    ----------
    error : SegserveError
    sent : int
        Attempts made so far.
    policy : RetryPolicy
    remaining_s : float
        Until the call's own deadline.
    chance : float in [0, 1)
        A random number; spreads callers that failed together over half of the wait.

    Returns
    -------
    float or None
        Seconds to wait, doubling with each attempt, or None when the error is the answer.
    """
    if error.kind not in _REPEATABLE or error.retry_after_s is None or sent >= policy.attempts:
        return None
    wait_s = error.retry_after_s * 2 ** (sent - 1) * (1 + _JITTER * chance)
    return None if wait_s > policy.longest_wait_s or wait_s >= remaining_s else wait_s
