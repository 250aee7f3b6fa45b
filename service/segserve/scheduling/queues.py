"""What waits for an instance: items by bucket and rank, each with a time of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from itertools import count, islice
from math import inf

from segserve.core.errors import DeadlineExceeded, Overloaded, QueueTimeout, ServiceError
from segserve.scheduling.item import Entry, Item, fresh
from segserve.scheduling.policy import BatchLimits, Waiting

_RETRY_AFTER_S = 0.1


class _Bucket:
    """Entries of one shape: by rank, and within it first come, first served."""

    def __init__(self) -> None:
        self.ranks: dict[int, dict[int, Entry]] = {}
        self.size = 0

    def head(self) -> tuple[int, Entry]:
        rank = min(self.ranks)
        return rank, next(iter(self.ranks[rank].values()))

    def put(self, rank: int, number: int, entry: Entry) -> None:
        self.ranks.setdefault(rank, {})[number] = entry
        self.size += 1

    def remove(self, rank: int, number: int) -> None:
        del self.ranks[rank][number]
        if not self.ranks[rank]:
            del self.ranks[rank]
        self.size -= 1


class BucketQueues:
    """All entries of one batcher.

    An entry leaves by being taken, by its own timer, or by `discard` when its caller goes; its
    place in its level's queue is free from that moment.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._buckets: dict[Hashable, _Bucket] = {}
        self._level_sizes: dict[int, int] = {}
        self._numbers = count()
        self._keys: dict[Entry, tuple[int, int]] = {}

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._keys)

    def add(self, item: Item, loop: asyncio.AbstractEventLoop) -> Entry:
        """Queue an item; its timer starts now.

        Raises
        ------
        DeadlineExceeded
            When the caller's deadline has passed already.
        Overloaded
            When its level's queue is full, or too many shapes wait.
        """
        if item.deadline.passed():
            raise DeadlineExceeded("the caller's deadline passed before the request was queued")
        level = self._limits.level(item.priority)
        self._check_room(item, level)
        entry = Entry(item, loop.create_future(), level, time.monotonic())
        self._insert(entry, rank=2 * level)
        self._start_timer(entry, loop)
        if self._limits.rises(level):
            entry.rise = loop.call_later(self._limits.patience_s, self._rise, entry)
        return entry

    def _check_room(self, item: Item, level: int) -> None:
        size = self._level_sizes.get(level, 0)
        most = self._limits.policy(level).max_queue_size
        if most and size >= most:
            raise Overloaded(
                f"Exceeds maximum queue size: {size} items wait, max_queue_size is {most}",
                retry_after_s=_RETRY_AFTER_S,
            )
        if item.bucket not in self._buckets and len(self._buckets) >= self._limits.max_buckets:
            raise Overloaded(
                f"Exceeds maximum queue size: items of {len(self._buckets)} different shapes wait; "
                f"raise the config parameter max_exact_buckets, or choose a shape_policy that "
                f"shares buckets",
                retry_after_s=_RETRY_AFTER_S,
            )

    def _insert(self, entry: Entry, *, rank: int) -> None:
        number = next(self._numbers)
        self._buckets.setdefault(entry.item.bucket, _Bucket()).put(rank, number, entry)
        self._keys[entry] = (rank, number)
        self._level_sizes[entry.level] = self._level_sizes.get(entry.level, 0) + 1

    def discard(self, entry: Entry) -> None:
        """Take an entry out, wherever it is; nothing happens when it has left already."""
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if entry.rise is not None:
            entry.rise.cancel()
            entry.rise = None
        key = self._keys.pop(entry, None)
        if key is None:
            return
        bucket = self._buckets[entry.item.bucket]
        bucket.remove(*key)
        self._level_sizes[entry.level] -= 1
        if bucket.size == 0:
            del self._buckets[entry.item.bucket]

    # --- time

    def _start_timer(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Answer the entry the moment that its queue timeout or its caller's deadline passes."""
        timeout_us = self._limits.policy(entry.level).timeout_us(entry.item.queue_timeout_us)
        timeout_s = timeout_us * 1e-6 if timeout_us else inf
        if timeout_s < entry.item.deadline.remaining_s():
            entry.timer = loop.call_later(timeout_s, self._timed_out, entry, loop)
        else:
            self._start_deadline(entry, loop)

    def _start_deadline(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        remaining_s = entry.item.deadline.remaining_s()
        if remaining_s != inf:
            entry.timer = loop.call_later(max(0.0, remaining_s), self._expired, entry)

    def _timed_out(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse the entry, or put it behind all that is in time at its level (Triton's DELAY)."""
        self.discard(entry)
        if self._limits.policy(entry.level).reject:
            waited_s = time.monotonic() - entry.enqueued_s
            entry.fail(QueueTimeout(f"Request timeout expired after {waited_s:.3f} s in the queue"))
            return
        self._insert(entry, rank=2 * entry.level + 1)
        self._start_deadline(entry, loop)

    def _rise(self, entry: Entry) -> None:
        """Put an entry that has waited long behind those of the first level."""
        key = self._keys.get(entry)
        if key is not None:
            bucket = self._buckets[entry.item.bucket]
            bucket.remove(*key)
            rank, number = 2 + key[0] % 2, next(self._numbers)
            bucket.put(rank, number, entry)
            self._keys[entry] = (rank, number)

    def _expired(self, entry: Entry) -> None:
        self.discard(entry)
        entry.fail(DeadlineExceeded("the caller's deadline passed while the request was queued"))

    # --- what waits

    def waiting(self) -> list[Waiting]:
        """Sum up every bucket for the policy."""
        summary = []
        for name, bucket in self._buckets.items():
            rank, head = bucket.head()
            summary.append(Waiting(name, bucket.size, rank, head.enqueued_s))
        return summary

    def take(self, name: Hashable, most: int) -> list[Entry]:
        """Cut up to `most` entries of one bucket, best rank and longest waiting first.

        Those whose caller has gone, or whose time is up though their timer has not come round yet,
        leave the queue too and are not given.
        """
        bucket = self._buckets[name]
        order = (entry for rank in sorted(bucket.ranks) for entry in bucket.ranks[rank].values())
        live = []
        for entry in list(islice(order, most)):
            if entry.item.deadline.passed():
                self._expired(entry)
            else:
                self.discard(entry)
            if not entry.future.done():
                entry.taken = True
                live.append(entry)
        return live

    def fail_all(self, error: ServiceError) -> None:
        """Answer everything that waits with `error`."""
        for entry in tuple(self._keys):
            self.discard(entry)
            entry.fail(fresh(error))
