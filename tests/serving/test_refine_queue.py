"""Refinements: bounded, within their budget, and never in anybody's way."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import BackendFailed, Cancelled, ShuttingDown
from segserve.observability.metrics import Metrics
from segserve.serving.refine_queue import RefineLimits, RefineQueue


class Told:
    """What the metrics were told."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.model = self.metrics.model("m", "1", {})

    def count(self, name: str) -> float:
        text = self.metrics.render().decode()
        (line,) = (line for line in text.splitlines() if line.startswith(name))
        return float(line.rpartition(" ")[2])

    def skipped(self, reason: str) -> float:
        return self.count(f'segserve_refine_skips_total{{model="m",reason="{reason}",version="1"}}')

    def refined(self) -> float:
        return self.count("segserve_refine_duration_histogram_us_count")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def make():
    made = []

    def build(**limits: int) -> RefineQueue:
        made.append(RefineQueue(RefineLimits(**limits)))
        return made[-1]

    yield build
    for queue in made:
        await queue.close()


async def run(queue, work, told, *, seconds=5.0, cost=1, bulk=False):
    return await queue.run(
        work, cost_bytes=cost, deadline=Deadline.after(seconds), metrics=told.model, bulk=bulk
    )


async def settled(queue):
    async with asyncio.timeout(5):
        while queue.pending:  # noqa: ASYNC110  the queue tells nobody when it is empty
            await asyncio.sleep(0.002)


async def test_an_answer_comes_back_and_is_counted(make, told):
    queue = make()
    assert await run(queue, lambda stop: (threading.current_thread().name, stop()), told) == (
        "segserve-refine-0",
        False,
    )
    await settled(queue)
    assert (queue.pending, queue.bytes_in_use) == (0, 0)
    assert (told.refined(), told.skipped("full"), told.skipped("budget")) == (1, 0, 0)


async def test_work_that_is_slow_is_given_up_at_its_deadline(make, told):
    queue = make()
    asked, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work(stop):
        while not stop():
            time.sleep(0.002)
        asked.set()
        may_end.wait(20)
        ended.set()

    assert await run(queue, work, told, seconds=0.05) is None
    assert not ended.is_set()
    assert await asyncio.to_thread(asked.wait, 2)
    assert queue.pending == 1  # its memory is still in use
    may_end.set()
    await settled(queue)
    assert (told.refined(), told.skipped("budget")) == (0, 1)


async def test_work_that_stops_itself_is_a_skip(make, told):
    def work(stop):
        raise Cancelled("between two iterations")

    assert await run(make(), work, told) is None
    assert told.skipped("budget") == 1


async def test_what_waits_too_long_never_begins(make, told):
    queue, gate, began = make(), threading.Event(), []
    first = asyncio.create_task(run(queue, lambda stop: gate.wait(5), told))
    await asyncio.sleep(0.02)
    assert await run(queue, lambda stop: began.append(1), told, seconds=0.03) is None
    await asyncio.sleep(0.01)
    assert queue.pending == 1  # what has not begun gives its place back at once
    gate.set()
    assert await first is True
    await settled(queue)
    assert began == []


@pytest.mark.parametrize(("limits", "cost"), [({"max_waiting": 0}, 1), ({"max_bytes": 10}, 6)])
async def test_a_full_queue_answers_at_once(make, told, limits, cost):
    queue, gate = make(**limits), threading.Event()
    first = asyncio.create_task(run(queue, lambda stop: gate.wait(5), told, cost=cost))
    await asyncio.sleep(0.02)
    assert await run(queue, lambda stop: 1, told, cost=cost) is None
    assert told.skipped("full") == 1
    gate.set()
    await first
    await settled(queue)
    assert await run(queue, lambda stop: 1, told, cost=cost) == 1


async def test_a_caller_that_goes_away_stops_the_work(make, told):
    queue, stopped = make(), threading.Event()

    def work(stop):
        while not stop():
            time.sleep(0.002)
        stopped.set()

    task = asyncio.create_task(run(queue, work, told, seconds=60))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, 2)
    await settled(queue)


async def test_a_failure_is_the_callers_answer_and_the_next_one_runs(make, told):
    def broken(stop):
        raise BackendFailed("NaN")

    queue = make()
    with pytest.raises(BackendFailed):
        await run(queue, broken, told)
    assert await run(queue, lambda stop: "fine", told) == "fine"


async def test_bulk_work_goes_behind(make, told):
    queue, gate, order = make(), threading.Event(), []
    tasks = [asyncio.create_task(run(queue, lambda stop: gate.wait(5), told))]
    await asyncio.sleep(0.02)
    for bulk in (True, False):
        job = run(queue, lambda stop, b=bulk: order.append(b), told, bulk=bulk)
        tasks.append(asyncio.create_task(job))
    await asyncio.sleep(0.02)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == [False, True]


async def test_closing_refuses_what_waits_and_stops_what_runs(told):
    queue = RefineQueue(RefineLimits())

    def until_told(stop):
        while not stop():
            time.sleep(0.002)
        return "stopped"

    running = asyncio.create_task(run(queue, until_told, told))
    await asyncio.sleep(0.02)
    waiting = asyncio.create_task(run(queue, until_told, told))
    await asyncio.sleep(0.02)
    async with asyncio.timeout(2):
        await queue.close()
    assert await running == "stopped"
    with pytest.raises(ShuttingDown):
        await waiting


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
async def test_its_threads_give_way_to_all_others(make, told):
    def priority(stop):
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert await run(make(), priority, told) == min(usual + 10, 19)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == usual
