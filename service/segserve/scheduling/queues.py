"""What waits for an instance: items by bucket and priority level, each with a time of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count, islice

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import DeadlineExceeded, Overloaded, QueueTimeout, ServiceError
from segserve.core.tensor import Tensors
from segserve.scheduling.policy import BatchLimits, Waiting

_RETRY_AFTER_S = 0.1


@dataclass(frozen=True)
class Item:
    """One image's tensors, waiting to be run.

    Parameters
    ----------
    inputs : Tensors
        Without the batch axis when the model batches; else whole tensors.
    bucket : hashable
        Items of one bucket have equal shapes and may share a batch.
    deadline : Deadline
        The caller's own.
    queue_timeout_us : int
        The request's wish for a queue timeout, 0 for none.
    priority : int
        0 for the model's default level.
    """

    inputs: Tensors
    bucket: Hashable
    deadline: Deadline = NO_DEADLINE
    queue_timeout_us: int = 0
    priority: int = 0


@dataclass(frozen=True)
class BatchResult:
    """One item's share of a batch.

    Parameters
    ----------
    outputs : Tensors
        This item's rows, without the batch axis (views of the batch's outputs).
    queue_s, batch_s, infer_s : float
        Waiting, stacking and running, in seconds.
    batch_size : int
        Items in the batch.
    """

    outputs: Tensors
    queue_s: float
    batch_s: float
    infer_s: float
    batch_size: int


@dataclass(eq=False)
class Entry:
    """An item in the queues, and the future that its caller waits on."""

    item: Item
    future: asyncio.Future[BatchResult]
    level: int
    enqueued_s: float
    timer: asyncio.TimerHandle | None = None
    finished: bool = False
    released: asyncio.Event | None = None

    def answer(self, result: BatchResult) -> None:
        """Give the result, unless the caller has gone."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: ServiceError) -> None:
        """Give the error, unless there is an answer or the caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class _Bucket:
    """Entries of one shape, first come first, by level; delayed ones behind all others."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, Entry]] = {}
        self.size = 0

    def head(self) -> tuple[int, Entry]:
        level = min(level for level, entries in self.levels.items() if entries)
        return level, next(iter(self.levels[level].values()))


class BucketQueues:
    """All entries of one batcher."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._buckets: dict[Hashable, _Bucket] = {}
        self._level_sizes: dict[int, int] = {}
        self._numbers = count()
        self._keys: dict[Entry, tuple[int, int]] = {}
        self._last_level = max(1, limits.priority_levels) + 1

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._keys)

    def add(self, item: Item, loop: asyncio.AbstractEventLoop) -> Entry:
        """Queue an item; its timer starts now.

        Raises
        ------
        Overloaded
            When its level's queue is full, or too many shapes wait.
        """
        level = self._limits.level(item.priority)
        policy = self._limits.policy(level)
        size = self._level_sizes.get(level, 0)
        if policy.max_queue_size and size >= policy.max_queue_size:
            raise Overloaded(
                f"Exceeds maximum queue size: {size} items wait, max_queue_size is "
                f"{policy.max_queue_size}",
                retry_after_s=_RETRY_AFTER_S,
            )
        if item.bucket not in self._buckets and len(self._buckets) >= self._limits.max_buckets:
            raise Overloaded(
                f"Exceeds maximum queue size: items of {len(self._buckets)} different shapes wait; "
                f"raise the config parameter max_exact_buckets, or choose a shape_policy that "
                f"shares buckets",
                retry_after_s=_RETRY_AFTER_S,
            )
        entry = Entry(item, loop.create_future(), level, time.monotonic())
        self._insert(entry, level)
        self._start_timer(entry, loop)
        return entry

    def _insert(self, entry: Entry, level: int) -> None:
        bucket = self._buckets.setdefault(entry.item.bucket, _Bucket())
        number = next(self._numbers)
        bucket.levels.setdefault(level, {})[number] = entry
        bucket.size += 1
        self._keys[entry] = (level, number)
        self._level_sizes[level] = self._level_sizes.get(level, 0) + 1

    def discard(self, entry: Entry) -> None:
        """Take an entry out, wherever it is; nothing happens when it has left already."""
        key = self._keys.pop(entry, None)
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if key is None:
            return
        level, number = key
        bucket = self._buckets[entry.item.bucket]
        del bucket.levels[level][number]
        bucket.size -= 1
        self._level_sizes[level] -= 1
        if bucket.size == 0:
            del self._buckets[entry.item.bucket]

    # --- time

    def _start_timer(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Answer the entry the moment that its queue timeout or its caller's deadline passes."""
        timeout_us = self._limits.policy(entry.level).timeout_us(entry.item.queue_timeout_us)
        remaining_s = entry.item.deadline.remaining_s()
        timeout_s = timeout_us * 1e-6 if timeout_us else float("inf")
        if timeout_s < remaining_s:
            entry.timer = loop.call_later(timeout_s, self._timed_out, entry, loop)
        elif remaining_s != float("inf"):
            entry.timer = loop.call_later(max(0.0, remaining_s), self._expired, entry)

    def _timed_out(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        self.discard(entry)
        if self._limits.policy(entry.level).reject:
            waited_s = time.monotonic() - entry.enqueued_s
            entry.fail(QueueTimeout(f"Request timeout expired after {waited_s:.3f} s in the queue"))
            return
        self._insert(entry, self._last_level)
        remaining_s = entry.item.deadline.remaining_s()
        if remaining_s != float("inf"):
            entry.timer = loop.call_later(max(0.0, remaining_s), self._expired, entry)

    def _expired(self, entry: Entry) -> None:
        self.discard(entry)
        entry.fail(DeadlineExceeded("the caller's deadline passed while the request was queued"))

    # --- what waits

    def waiting(self) -> list[Waiting]:
        """Sum up every bucket for the policy."""
        summary = []
        for name, bucket in self._buckets.items():
            level, head = bucket.head()
            summary.append(Waiting(name, bucket.size, level, head.enqueued_s))
        return summary

    def take(self, name: Hashable, most: int) -> list[Entry]:
        """Cut up to `most` live entries of one bucket, best level and longest waiting first."""
        bucket = self._buckets[name]
        order = (e for level in sorted(bucket.levels) for e in bucket.levels[level].values())
        chosen = list(islice(order, most))
        for entry in chosen:
            self.discard(entry)
        return [entry for entry in chosen if not entry.future.done()]

    def fail_all(self, error: ServiceError) -> None:
        """Answer everything that waits with `error`."""
        for entry in tuple(self._keys):
            self.discard(entry)
            entry.fail(error)
