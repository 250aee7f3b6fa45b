"""The batcher of one model version: queues per shape, batches cut when an instance is free.

Lives on the event loop. Every future has an owner: an entry is answered when it is taken and run,
when its time is up, when its caller goes, or when the batcher closes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from segserve.core.errors import BackendFailed, ServiceError
from segserve.core.messages import Timings
from segserve.scheduling.abandonment import Abandonment
from segserve.scheduling.batch_run import ModelRun, Outcome, RunModel
from segserve.scheduling.item import BatchResult, Entry, Item, fresh
from segserve.scheduling.policy import BatchLimits, Take, WaitUntil, decide
from segserve.scheduling.queues import BucketQueues
from segserve.scheduling.row_times import RowTimes
from segserve.scheduling.slot_work import run_entries

log = logging.getLogger(__name__)
T = TypeVar("T")
_Outcomes = Sequence[tuple[Entry, Outcome]]
__all__ = ["BatchObserver", "BatchResult", "Batcher", "Item", "Slots"]

_DRAIN_STEP_S = 0.005


class Slots(Protocol):
    """Where batches run: the instances of one model version."""

    def run(
        self,
        work: Callable[[RunModel], T],
        *,
        alone: bool,
        bulk: bool,
        stop: Abandonment,
    ) -> Awaitable[T]:
        """Call ``work(run_model)`` on a thread once there is a core or a device for it.

        `alone` says that nothing else of this model waits, so that all cores may be used, `bulk`
        that interactive work goes first; `stop` tells when the answer is not wanted any more.
        """
        ...

    def spare(self) -> bool:
        """Whether what does not need the model would begin at once on another thread."""
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
    row_s : float
        Seconds that the model runs for one row, as far as is known before it has.
    """

    def __init__(
        self, slots: Slots, limits: BatchLimits, observer: BatchObserver, row_s: float = 0.0
    ) -> None:
        self._slots = slots
        self._limits = limits
        self._observer = observer
        self._queues = BucketQueues(limits)
        self._times = RowTimes(row_s)
        self._running: set[asyncio.Future[_Outcomes]] = set()
        self._pump_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed: ServiceError | None = None

    @property
    def limits(self) -> BatchLimits:
        """What the config says about batching."""
        return self._limits

    def pending(self) -> int:
        """Items that wait for an instance."""
        return len(self._queues)

    def row_s(self, bucket: Hashable) -> float:
        """Give the seconds that the model runs for a row of `bucket`, as far as past runs tell."""
        return self._times.row_s(bucket)

    def idle(self) -> bool:
        """Whether an item that came now would be run at once, and alone."""
        return not (self._running or len(self._queues) or self._limits.max_queue_delay_s)

    async def submit(self, item: Item) -> BatchResult:
        """Queue one item and wait for its rows.

        Raises
        ------
        Overloaded
            When the queue of its priority level, or the list of shapes, is full.
        QueueTimeout, DeadlineExceeded
            When its time was up before an instance began with it.
        BackendFailed
            When the model failed on it.
        """
        if self._closed is not None:
            raise fresh(self._closed)
        loop = asyncio.get_running_loop()
        entry = self._queues.add(item, loop)
        self._schedule_pump(loop)
        try:
            return await entry.future
        finally:
            self._queues.discard(entry)
            entry.forget()

    async def submit_all(self, items: Sequence[Item]) -> Sequence[BatchResult]:
        """Queue the items of one request; when one fails, the rest leave the queue."""
        if len(items) == 1:
            return [await self.submit(items[0])]
        tasks = [asyncio.ensure_future(self.submit(item)) for item in items]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

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
        busy = len(self._running)
        idle = self._limits.instances - busy
        loop = asyncio.get_running_loop()
        while len(self._queues):
            now_s = time.monotonic()
            waiting, row_s = self._queues.waiting(), self._times.row_s
            match decide(waiting, self._limits, idle, now_s, busy, row_s):
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

    # --- running batches

    def _start(self, entries: Sequence[Entry], *, alone: bool) -> None:
        work: Callable[[RunModel], _Outcomes] = partial(
            run_entries, entries, batched=self._limits.max_batch_size > 0, spare=self._slots.spare
        )
        bulk = all(self._limits.is_bulk(entry.item.priority) for entry in entries)
        stop = Abandonment(entries)
        try:
            run = asyncio.ensure_future(self._slots.run(work, alone=alone, bulk=bulk, stop=stop))
        except Exception as error:  # noqa: BLE001  it is the callers' answer
            _fail_all(entries, error)
            return
        self._running.add(run)
        run.add_done_callback(partial(self._ended, entries))

    def _ended(self, entries: Sequence[Entry], run: asyncio.Future[_Outcomes]) -> None:
        """Answer the callers of a batch, whatever became of it."""
        self._running.discard(run)
        try:
            if not run.cancelled():
                self._tell(run.result())
        except Exception as error:  # noqa: BLE001  it is the callers' answer
            _fail_all(entries, error)
        else:
            _fail_all(entries, BackendFailed("the batch ended without an answer"))
        self._schedule_pump(run.get_loop())

    def _tell(self, outcomes: _Outcomes) -> None:
        """Answer the callers; on the loop again."""
        runs: dict[ModelRun, None] = {}
        for entry, outcome in outcomes:
            if isinstance(outcome, Exception):
                entry.fail(outcome)
                continue
            run = outcome.run
            queue_s = max(0.0, run.started_s - entry.first_s - entry.enqueued_s)
            timings = Timings(queue_s=queue_s, batch_s=run.batch_s, infer_s=run.infer_s)
            size, row_bytes = run.batch_size, run.row_bytes
            entry.answer(
                BatchResult(outcome.outputs, timings, size, row_bytes, entry.begun, outcome.done)
            )
            runs[run] = None
        for run in runs:
            self._times.seen(outcomes[0][0].item.bucket, run.infer_s / run.batch_size)
            self._observer.batch_done(run.batch_size, run.batch_s, run.infer_s)

    # --- ending

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing waits or runs; false when the time was up first."""
        end_s = time.monotonic() + timeout_s
        while self._running or len(self._queues):
            if time.monotonic() >= end_s:
                return False
            await asyncio.sleep(_DRAIN_STEP_S)
        return True

    async def close(self, reason: ServiceError) -> None:
        """Fail what waits with `reason`, refuse what comes, and wait for what runs."""
        self._closed = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queues.fail_all(reason)
        await asyncio.gather(*self._running, return_exceptions=True)


def _fail_all(entries: Sequence[Entry], error: Exception) -> None:
    """Answer those who have no answer yet."""
    if not isinstance(error, ServiceError):
        log.error("batch_not_run", exc_info=error)
        error = BackendFailed(f"the batch could not be run: {error!r}")
    for entry in entries:
        if not entry.future.done():
            entry.fail(fresh(error))
