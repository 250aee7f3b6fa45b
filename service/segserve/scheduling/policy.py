"""What to run next: pure decisions from what waits, the limits and the time.

A slot is free first, then the batch is cut from what has gathered. The bucket whose head has waited
longest at the best priority comes first, so that no image size starves another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

_LONGEST_S, _SHORTEST_S = 0.1, 1e-6


@dataclass(frozen=True)
class QueuePolicy:
    """Triton's ModelQueuePolicy.

    Parameters
    ----------
    reject : bool
        What a timeout does: reject the request, or (False) let it wait behind all others.
    default_timeout_us : int
        0 for none.
    allow_timeout_override : bool
        A request's own timeout may shorten the default.
    max_queue_size : int
        0 for unbounded by number (bytes are bounded at the door in any case).
    """

    reject: bool = True
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0

    def timeout_us(self, requested_us: int) -> int:
        """Give the timeout that holds for a request, 0 for none."""
        if self.allow_timeout_override and requested_us > 0:
            shorter = self.default_timeout_us == 0 or requested_us < self.default_timeout_us
            return requested_us if shorter else self.default_timeout_us
        return self.default_timeout_us


@dataclass(frozen=True)
class BatchLimits:
    """All that the config says about batching.

    Parameters
    ----------
    max_batch_size : int
        0 for a model without a batch axis.
    instances : int
        Batches that may run at the same time.
    spread : bool
        Share what waits among the instances (CPU: a batch of n takes as long as n runs of one, and
        the memory of all of them) instead of filling one batch (accelerators). A batch that would
        run for more than a tenth of a second is cut shorter: it would save nothing.
    max_buckets : int
        Shapes that may wait at the same time.
    priority_levels : int
        0 or 1 for one level; level 1 is the highest.
    queue_policies : dict
        By level; `default_policy` for the rest.
    patience_s : float
        Of bulk items in a model without levels: after that they count as if they had come then and
        were interactive.
    """

    max_batch_size: int
    instances: int = 1
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_s: float = 0.0
    preserve_ordering: bool = False
    spread: bool = False
    max_buckets: int = 64
    priority_levels: int = 0
    default_priority: int = 0
    default_policy: QueuePolicy = QueuePolicy()
    queue_policies: dict[int, QueuePolicy] = field(default_factory=dict)
    patience_s: float = 1.0

    def policy(self, level: int) -> QueuePolicy:
        """Give the queue policy of a priority level."""
        return self.queue_policies.get(level, self.default_policy)

    def level(self, priority: int) -> int:
        """Give the level that a request's priority stands for; out of range is the default.

        A model without levels has two: bulk requests are of the second.
        """
        if self.priority_levels <= 1:
            return 2 if self.is_bulk(priority) and not self.preserve_ordering else 1
        chosen = priority or self.default_priority
        if not 1 <= chosen <= self.priority_levels:
            chosen = self.default_priority
        return min(max(1, chosen), self.priority_levels)

    def is_bulk(self, priority: int) -> bool:
        """Whether a request of this priority gives way: it is below the model's default level."""
        if self.priority_levels <= 1:
            return priority > 1
        return self.level(priority) > max(1, self.default_priority)

    def rises(self, level: int) -> bool:
        """Whether what waits long at this level comes to be of the first.

        So it is with the second level of a model that has none of its own; levels that a config
        sets are kept to, as Triton does.
        """
        return self.priority_levels <= 1 and level > 1


@dataclass(frozen=True)
class Waiting:
    """What waits in one bucket.

    Parameters
    ----------
    rank : int
        Of its best items; less goes first. Two per priority level: items in time, and behind them
        those that a queue timeout has put back.
    oldest_s : float
        When the head at that rank came in, on the monotonic clock.
    """

    bucket: Hashable
    count: int
    rank: int
    oldest_s: float


@dataclass(frozen=True)
class Take:
    """Cut `count` items from `bucket` and run them."""

    bucket: Hashable
    count: int


@dataclass(frozen=True)
class WaitUntil:
    """Nothing to run before this moment, unless something new comes in."""

    at_s: float


def decide(
    waiting: Sequence[Waiting],
    limits: BatchLimits,
    idle_instances: int,
    now_s: float,
    busy_instances: int = 0,
    row_s: Callable[[Hashable], float] = lambda _: 0.0,
) -> Take | WaitUntil | None:
    """Choose the next batch.

    Parameters
    ----------
    waiting : sequence of Waiting
    limits : BatchLimits
    idle_instances : int
        They could begin now.
    now_s : float
        On the clock of `Waiting.oldest_s`.
    busy_instances : int
        They run what was cut before, and come for their share of what waits.
    row_s : callable
        Gives the seconds that a row of a bucket runs on one core; 0 where nobody knows.

    Returns
    -------
    Take, WaitUntil or None
        None when nothing waits or no instance is idle.
    """
    if idle_instances <= 0:
        return None
    earliest_s = inf
    for candidate in sorted(waiting, key=lambda w: (w.rank, w.oldest_s)):
        ripe_s = candidate.oldest_s + limits.max_queue_delay_s
        share = candidate.count
        if limits.spread:
            sharers = idle_instances + busy_instances
            share = min(ceil(share / sharers), _rows_in_time(row_s(candidate.bucket)))
        count = _batch_size(candidate.count, limits, share, expired=now_s >= ripe_s)
        if count:
            return Take(candidate.bucket, count)
        earliest_s = min(earliest_s, ripe_s)
    return WaitUntil(earliest_s) if waiting else None


def _batch_size(count: int, limits: BatchLimits, share: int, *, expired: bool) -> int:
    """Give how many of `count` to run now; 0 for wait."""
    if limits.max_batch_size <= 1:
        return 1
    most = min(count, limits.max_batch_size)
    preferred = max((p for p in limits.preferred_batch_sizes if p <= most), default=0)
    if preferred:
        return preferred
    if not expired and most < limits.max_batch_size:
        return 0
    return min(most, share)


def _rows_in_time(row_s: float) -> int:
    return max(1, int(_LONGEST_S / max(row_s, _SHORTEST_S)))
