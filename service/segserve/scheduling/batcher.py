"""The batcher of one model version: queues per shape, batches cut when an instance is free.

Lives on the event loop. Every future has an owner: an entry is answered when it is taken and run,
when its time is up, when its caller goes, or when the batcher closes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from segserve.core.errors import BackendFailed, ServiceError
from segserve.core.tensor import Array, Tensors
from segserve.scheduling.batch import stack
from segserve.scheduling.policy import BatchLimits, Take, WaitUntil, decide
from segserve.scheduling.queues import BatchResult, BucketQueues, Entry, Item

log = logging.getLogger(__name__)
__all__ = ["BatchObserver", "BatchResult", "Batcher", "Item", "Slots"]


class Slots(Protocol):
    """Where batches run: the instances of one model version."""

    async def run(self, inputs: Tensors, *, alone: bool) -> Tensors:
        """Run one batch; `alone` says that nothing else waits, so all cores may be used."""
        ...


class BatchObserver(Protocol):
    """Who wants to know about batches."""

    def batch_done(self, size: int, batch_s: float, infer_s: float) -> None:
        """One model run over `size` items."""
        ...


class Batcher:
    """Queues items, cuts batches, runs them and gives every item its own rows.

    Parameters
    ----------
    slots : Slots
    limits : BatchLimits
    observer : BatchObserver
    """

    def __init__(self, slots: Slots, limits: BatchLimits, observer: BatchObserver) -> None:
        self._slots = slots
        self._limits = limits
        self._observer = observer
        self._queues = BucketQueues(limits)
        self._running: set[asyncio.Task[None]] = set()
        self._pump_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed: ServiceError | None = None
        self._order: deque[Entry] = deque()

    def pending(self) -> int:
        """Items that wait for an instance."""
        return len(self._queues)

    async def submit(self, item: Item) -> BatchResult:
        """Queue one item and wait for its rows.

        Raises
        ------
        Overloaded
            When the queue of its priority level, or the list of shapes, is full.
        QueueTimeout, DeadlineExceeded
            When its time was up before an instance took it.
        BackendFailed
            When the model failed on it.
        """
        if self._closed is not None:
            raise self._closed
        loop = asyncio.get_running_loop()
        entry = self._queues.add(item, loop)
        self._schedule_pump(loop)
        try:
            if self._limits.preserve_ordering:
                return await self._in_order(entry)
            return await entry.future
        finally:
            self._queues.discard(entry)

    async def _in_order(self, entry: Entry) -> BatchResult:
        """Wait until the entry and all that came before it are done, or their callers gone."""
        entry.released = asyncio.Event()
        self._order.append(entry)
        try:
            return await entry.future
        finally:
            entry.finished = True
            while self._order and self._order[0].finished:
                first = self._order.popleft()
                if first.released is not None:
                    first.released.set()
            if not entry.future.cancelled():
                await entry.released.wait()

    # --- cutting batches

    def _schedule_pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the queues once everything of this sweep of the loop has come in."""
        if not self._pump_scheduled:
            self._pump_scheduled = True
            loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._cut_all()
        except Exception as error:  # a caller always gets an answer, even from a broken loop
            log.exception("batcher_broken")
            self._queues.fail_all(BackendFailed(f"the batcher failed: {error!r}"))

    def _cut_all(self) -> None:
        idle = self._limits.instances - len(self._running)
        loop = asyncio.get_running_loop()
        while True:
            now_s = time.monotonic()
            match decide(self._queues.waiting(), self._limits, idle, now_s):
                case Take(bucket, count):
                    entries = self._queues.take(bucket, count)
                    if entries:
                        self._start(entries, alone=len(entries) == 1 and not len(self._queues))
                        idle -= 1
                case WaitUntil(at_s):
                    delay_s = max(0.0, at_s - now_s)
                    self._timer = loop.call_later(delay_s, self._schedule_pump, loop)
                    return
                case None:
                    return

    def _start(self, entries: Sequence[Entry], *, alone: bool) -> None:
        task = asyncio.get_running_loop().create_task(self._run(entries, alone=alone))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("batch_task_failed", exc_info=task.exception())
        self._schedule_pump(task.get_loop())

    # --- running batches

    async def _run(self, entries: Sequence[Entry], *, alone: bool) -> None:
        taken_s = time.monotonic()
        try:
            await self._run_batch(entries, taken_s, alone=alone)
        except Exception as error:  # noqa: BLE001  whatever the model raises is their answer
            if len(entries) == 1:
                entries[0].fail(_as_service_error(error))
            else:
                await self._run_apart(entries, taken_s)
        finally:
            for entry in entries:
                entry.fail(BackendFailed("the batch ended without an answer"))

    async def _run_apart(self, entries: Sequence[Entry], taken_s: float) -> None:
        """Run the items of a failed batch one by one, so that only the poisoned ones fail."""
        for entry in entries:
            if entry.future.done():
                continue
            try:
                await self._run_batch([entry], taken_s, alone=False)
            except Exception as error:  # noqa: BLE001  it is this caller's answer
                entry.fail(_as_service_error(error))

    async def _run_batch(self, entries: Sequence[Entry], taken_s: float, *, alone: bool) -> None:
        start_s = time.perf_counter()
        inputs = self._stacked(entries)
        stacked_s = time.perf_counter()
        outputs = await self._slots.run(inputs, alone=alone)
        done_s = time.perf_counter()
        batch_s, infer_s = stacked_s - start_s, done_s - stacked_s
        rows = self._split(outputs, len(entries))
        self._observer.batch_done(len(entries), batch_s, infer_s)
        for entry, row in zip(entries, rows, strict=True):
            queue_s = taken_s - entry.enqueued_s
            entry.answer(BatchResult(row, queue_s, batch_s, infer_s, len(entries)))

    def _stacked(self, entries: Sequence[Entry]) -> Tensors:
        if self._limits.max_batch_size == 0:
            return entries[0].item.inputs
        names = entries[0].item.inputs
        return {name: stack([entry.item.inputs[name] for entry in entries]) for name in names}

    def _split(self, outputs: Tensors, count: int) -> list[dict[str, Array]]:
        if self._limits.max_batch_size == 0:
            return [dict(outputs)]
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != count:
                raise BackendFailed(
                    f"output '{name}' has shape {list(array.shape)} for a batch of {count}: its "
                    f"first axis must be the batch; set max_batch_size to 0 if the model has none"
                )
        return [{n: array[row] for n, array in outputs.items()} for row in range(count)]

    # --- ending

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing waits or runs; false when the time was up first."""
        end_s = time.monotonic() + timeout_s
        while self._running or len(self._queues):
            if time.monotonic() >= end_s:
                return False
            await asyncio.sleep(0.005)
        return True

    async def close(self, reason: ServiceError) -> None:
        """Fail what waits with `reason`, refuse what comes, and wait for what runs."""
        self._closed = reason
        if self._timer is not None:
            self._timer.cancel()
        self._queues.fail_all(reason)
        await asyncio.gather(*self._running, return_exceptions=True)


def _as_service_error(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"the model failed: {error!r}")
