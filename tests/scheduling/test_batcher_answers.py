"""Every caller gets exactly one answer, whatever happens to it, its neighbours or the model."""

import asyncio
import gc
import time
import weakref

import numpy as np
import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    QueueTimeout,
)
from segserve.execution.backend import never
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.execution.instances import Instances
from segserve.scheduling.policy import QueuePolicy


async def test_cancelled_in_queue_costs_the_model_nothing_and_neighbours_nothing(shut_desk):
    desk = shut_desk()
    first = await desk.busy(1.0)
    gone, stays = desk.submit(2.0), desk.submit(3.0)
    await desk.settle()
    gone.cancel()
    await desk.settle()
    assert desk.batcher.pending() == 1
    desk.model.gate.set()
    assert (await desk.value(first), await desk.value(stays)) == (2.0, 6.0)
    assert desk.model.batches == [[1.0], [3.0]]


async def test_cancelled_while_running_leaves_neighbours_their_answers(shut_desk):
    desk = shut_desk()
    gone, stays = desk.submit(1.0), desk.submit(2.0)
    await desk.settle()
    gone.cancel()
    await desk.settle()
    desk.model.gate.set()
    assert await desk.value(stays) == 4.0
    assert desk.model.batches == [[1.0, 2.0]]


async def test_gone_between_the_cut_and_the_run_costs_nothing(desk_over):
    class Queued:
        """Slots whose thread is not free yet."""

        def __init__(self):
            self.free = asyncio.Event()
            self.batches = []

        def spare(self):
            return True

        async def run(self, work, *, alone, **told):
            await self.free.wait()
            return work(self.model)

        def model(self, inputs):
            self.batches.append(inputs["x"][:, 0].tolist())
            return {"y": inputs["x"] * 2}

    slots = Queued()
    desk = desk_over(slots)
    gone, late, stays = (
        desk.submit(1.0),
        desk.submit(2.0, deadline=Deadline.after(0.01)),
        desk.submit(3.0),
    )
    await desk.settle()
    gone.cancel()
    await asyncio.sleep(0.02)
    slots.free.set()
    assert await desk.value(stays) == 6.0
    with pytest.raises(DeadlineExceeded):
        await late
    assert slots.batches == [[3.0]]


async def test_one_poisoned_item_fails_alone(open_desk):
    desk = open_desk()
    results = await asyncio.gather(
        *(desk.submit(v) for v in (1.0, desk.model.POISON, 3.0)), return_exceptions=True
    )
    assert [type(r) is BackendFailed for r in results] == [False, True, False]
    assert results[2].outputs["y"].tolist() == [6.0]
    assert desk.sizes == [1, 1]


async def test_a_model_without_a_row_per_item_fails_all_and_is_not_asked_again(open_desk):
    desk = open_desk()
    desk.model.wrong_rows = True
    results = await asyncio.gather(desk.submit(1.0), desk.submit(2.0), return_exceptions=True)
    assert [str(r) for r in results] == [str(results[0])] * 2
    assert "output 'y' has shape [1, 1] for a batch of 2" in str(results[0])
    assert desk.model.batches == [[1.0, 2.0]]
    desk.model.wrong_rows = False
    assert await desk.value(desk.submit(5.0)) == 10.0


async def break_later():
    raise RuntimeError("no thread")


def break_at_once():
    raise RuntimeError("no thread")


@pytest.mark.parametrize("broken", [break_later, break_at_once])
async def test_slots_that_break_answer_everybody(desk_over, caplog, broken):
    class Broken:
        def spare(self):
            return True

        def run(self, work, *, alone, **told):
            return broken()

    desk = desk_over(Broken())
    results = await asyncio.gather(desk.submit(1.0), desk.submit(2.0), return_exceptions=True)
    assert [type(r) for r in results] == [BackendFailed] * 2
    assert "no thread" in str(results[0])
    assert "batch_not_run" in caplog.text


async def test_a_batch_task_that_is_cancelled_answers_its_callers(shut_desk):
    desk = shut_desk()
    task = await desk.busy()
    for running in tuple(desk.batcher._running):
        running.cancel()
    with pytest.raises(BackendFailed, match="without an answer"):
        await task


async def test_a_broken_policy_answers_everybody(shut_desk, caplog):
    desk = shut_desk()
    running = await desk.busy(1.0)
    waiting = desk.submit(2.0)
    await desk.settle()
    desk.batcher._queues.waiting = lambda: 1 / 0
    desk.model.gate.set()
    with pytest.raises(BackendFailed, match="batcher failed"):
        await waiting
    assert await desk.value(running) == 2.0
    assert "batcher_broken" in caplog.text


async def test_a_full_queue_is_refused_and_its_places_come_back(shut_desk):
    desk = shut_desk(default_policy=QueuePolicy(max_queue_size=2))
    running = await desk.busy()
    waiting = [desk.submit(1.0), desk.submit(2.0)]
    await desk.settle()
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        await desk.batcher.submit(desk.item(3.0))
    waiting[0].cancel()
    await desk.settle()
    replaced = desk.submit(4.0)
    await desk.settle()
    desk.model.gate.set()
    assert [await desk.value(t) for t in (running, waiting[1], replaced)] == [0.0, 4.0, 8.0]


async def test_the_number_of_waiting_shapes_is_bounded(shut_desk):
    desk = shut_desk(max_buckets=2)
    tasks = [await desk.busy(0.0, 0), desk.submit(1.0, 1), desk.submit(2.0, 2)]
    await desk.settle()
    with pytest.raises(Overloaded, match="different shapes"):
        await desk.batcher.submit(desk.item(3.0, 3))
    desk.model.gate.set()
    await asyncio.gather(*tasks)
    assert await desk.value(desk.submit(3.0, 3)) == 6.0


class SlowBackend:
    """Holds its thread for a quarter of a second."""

    reentrant = True
    device = "cpu"
    widens = True

    def run(self, inputs, *, wide, stop=never):
        time.sleep(0.25)
        return {"y": inputs["x"] * 2}

    def close(self):
        pass


@pytest.mark.parametrize("kind", ["queue_timeout", "deadline"])
async def test_time_is_up_while_a_long_batch_runs(desk_over, kind):
    pool = CpuPool(1)
    limits = {"default_policy": QueuePolicy(default_timeout_us=30_000)}
    desk = desk_over(
        Instances([SlowBackend()], 1, pool), **(limits if kind == "queue_timeout" else {})
    )
    running = asyncio.create_task(desk.batcher.submit(desk.item(1.0)))
    await asyncio.sleep(0.02)
    error = DeadlineExceeded if kind == "deadline" else QueueTimeout

    async def ask(n):
        fields = {"deadline": Deadline.after(0.03)} if kind == "deadline" else {}
        start_s = time.monotonic()
        with pytest.raises(error):
            await desk.batcher.submit(desk.item(n, **fields))
        return time.monotonic() - start_s - 0.03

    lateness_s = sorted(await asyncio.gather(*(ask(float(n)) for n in range(20))))
    assert lateness_s[0] > -0.001
    assert lateness_s[10] < 0.1
    assert not running.done()
    assert desk.batcher.pending() == 0
    assert await desk.value(running) == 2.0
    await pool.close()


async def test_cancelled_while_the_cpu_is_taken_by_others(desk_over):
    pool = CpuPool(1)
    desk = desk_over(Instances([SlowBackend()], 1, pool))
    other = asyncio.ensure_future(pool.run(lambda: time.sleep(0.05), priority=Priority.PRE))
    await asyncio.sleep(0.01)
    task = desk.submit(1.0)
    await desk.settle()
    task.cancel()
    await other
    assert await desk.batcher.drain(0.15)
    assert desk.sizes == []
    await pool.close()


async def test_shutdown_answers_what_waits_and_finishes_what_runs(shut_desk):
    desk = shut_desk()
    running = await desk.busy(1.0)
    waiting = [desk.submit(2.0), desk.submit(3.0)]
    await desk.settle()
    closing = asyncio.create_task(desk.batcher.close(NotReady("unloaded", retry_after_s=2.0)))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(e), e.message, e.retry_after_s) for e in errors] == [
        (NotReady, "unloaded", 2.0)
    ] * 2
    assert errors[0] is not errors[1]
    with pytest.raises(NotReady):
        await desk.batcher.submit(desk.item(3.0))
    desk.model.gate.set()
    assert await desk.value(running) == 2.0
    await closing


async def test_drain_waits_and_gives_up(shut_desk):
    desk = shut_desk()
    running = await desk.busy(1.0)
    assert await desk.batcher.drain(0.02) is False
    desk.model.gate.set()
    assert await desk.batcher.drain(1.0) is True
    await running


async def test_an_error_that_comes_as_its_caller_goes_is_not_complained_of(open_desk):
    desk = open_desk()
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    for steps in range(12):  # at one of these steps the error is there and not yet read
        task = desk.submit(desk.model.POISON)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((BackendFailed, asyncio.CancelledError)):
            await task
        del task
        await desk.settle()
    gc.collect()
    assert complaints == []


async def test_no_input_is_kept_after_its_answer(open_desk):
    desk = open_desk()
    item = desk.item(1.0)
    seen = weakref.ref(item.inputs["x"])
    result = await desk.batcher.submit(item)
    del item
    await desk.settle()
    gc.collect()
    assert seen() is None
    assert isinstance(result.outputs["y"], np.ndarray)
