"""The batcher with a gated fake model: every caller gets exactly one right answer."""

import asyncio
import random
import time

import numpy as np
import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    QueueTimeout,
    ServiceError,
)
from segserve.scheduling.batcher import Batcher, Item
from segserve.scheduling.policy import BatchLimits, QueuePolicy

POISON = -1.0


class Observed:
    def __init__(self):
        self.sizes = []

    def batch_done(self, size, batch_s, infer_s):
        self.sizes.append(size)


class GatedModel:
    """Doubles its input once the gate is open; fails on batches that hold poison."""

    def __init__(self, *, is_open=True):
        self.gate = asyncio.Event()
        self.batches = []
        self.alone = []
        self.wrong_rows = False
        if is_open:
            self.gate.set()

    async def run(self, inputs, *, alone):
        x = inputs["x"]
        self.batches.append(x[..., 0].tolist())
        self.alone.append(alone)
        await self.gate.wait()
        if (x == POISON).any():
            raise BackendFailed("poisoned")
        return {"y": x[:1] if self.wrong_rows else x * 2}


def make(model, **limits):
    observed = Observed()
    limits = {"max_batch_size": 4, **limits}
    return Batcher(model, BatchLimits(**limits), observed), observed


def item(value, bucket="b", **fields):
    return Item({"x": np.array([value], np.float32)}, bucket, **fields)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def submit(batcher, *args, **fields):
    return asyncio.create_task(batcher.submit(item(*args, **fields)))


async def value(task):
    return float((await task).outputs["y"][0])


async def test_a_lone_item_goes_at_once_and_alone():
    model = GatedModel()
    batcher, observed = make(model)
    result = await batcher.submit(item(3.0))
    assert result.outputs["y"].tolist() == [6.0]
    assert (result.batch_size, model.alone, observed.sizes) == (1, [True], [1])


async def test_what_gathers_while_the_model_is_busy_goes_together():
    model = GatedModel(is_open=False)
    batcher, observed = make(model)
    tasks = [submit(batcher, 0.0)]
    await settle()
    tasks += [submit(batcher, float(i)) for i in range(1, 7)]
    await settle()
    model.gate.set()
    assert [await value(t) for t in tasks] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert observed.sizes == [1, 4, 2]


async def test_what_arrives_in_one_sweep_is_one_batch():
    model = GatedModel()
    batcher, observed = make(model)
    results = await asyncio.gather(*(batcher.submit(item(float(i))) for i in range(4)))
    assert [r.outputs["y"][0] for r in results] == [0, 2, 4, 6]
    assert observed.sizes == [4]


async def test_cancelled_in_queue_costs_the_model_nothing_and_neighbours_nothing():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    first = submit(batcher, 1.0)
    await settle()
    gone, stays = submit(batcher, 2.0), submit(batcher, 3.0)
    await settle()
    gone.cancel()
    await settle()
    assert batcher.pending() == 1
    model.gate.set()
    assert (await value(first), await value(stays)) == (2.0, 6.0)
    assert model.batches == [[1.0], [3.0]]


async def test_cancelled_while_running_leaves_neighbours_their_answers():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    gone, stays = submit(batcher, 1.0), submit(batcher, 2.0)
    await settle()
    gone.cancel()
    await settle()
    model.gate.set()
    assert await value(stays) == 4.0
    assert model.batches == [[1.0, 2.0]]


async def test_one_poisoned_item_fails_alone():
    model = GatedModel()
    batcher, _ = make(model)
    results = await asyncio.gather(
        *(batcher.submit(item(v)) for v in (1.0, POISON, 3.0)), return_exceptions=True
    )
    assert [type(r) is BackendFailed for r in results] == [False, True, False]
    assert results[2].outputs["y"].tolist() == [6.0]


async def test_a_model_without_a_row_per_item_is_found_out():
    model = GatedModel()
    model.wrong_rows = True
    batcher, _ = make(model)
    results = await asyncio.gather(
        batcher.submit(item(1.0)), batcher.submit(item(2.0)), return_exceptions=True
    )
    assert all(isinstance(r, BackendFailed | type(results[0])) for r in results)
    model.wrong_rows = False
    assert await value(submit(batcher, 5.0)) == 10.0


@pytest.mark.parametrize("kind", ["queue_timeout", "deadline"])
async def test_time_is_up_while_the_model_is_busy(kind):
    model = GatedModel(is_open=False)
    policy = QueuePolicy(default_timeout_us=30_000 if kind == "queue_timeout" else 0)
    batcher, _ = make(model, default_policy=policy)
    running = submit(batcher, 1.0)
    await settle()
    fields = {"deadline": Deadline.after(0.03)} if kind == "deadline" else {}
    start_s = time.monotonic()
    late = submit(batcher, 2.0, **fields)
    error = DeadlineExceeded if kind == "deadline" else QueueTimeout
    with pytest.raises(error):
        await late
    assert 0.025 < time.monotonic() - start_s < 1.0
    assert batcher.pending() == 0
    model.gate.set()
    assert await value(running) == 2.0


async def test_a_delayed_item_goes_behind_all_others():
    model = GatedModel(is_open=False)
    policy = QueuePolicy(reject=False, default_timeout_us=1_000)
    batcher, _ = make(model, max_batch_size=1, default_policy=policy)
    first = submit(batcher, 1.0)
    await settle()
    delayed = submit(batcher, 2.0)
    await asyncio.sleep(0.02)
    fresh = submit(batcher, 3.0)
    await settle()
    model.gate.set()
    await asyncio.gather(first, delayed, fresh)
    assert model.batches == [[1.0], [3.0], [2.0]]


async def test_a_full_queue_is_refused_and_its_slots_come_back():
    model = GatedModel(is_open=False)
    batcher, _ = make(model, default_policy=QueuePolicy(max_queue_size=2))
    running = submit(batcher, 0.0)
    await settle()
    waiting = [submit(batcher, 1.0), submit(batcher, 2.0)]
    await settle()
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        await batcher.submit(item(3.0))
    waiting[0].cancel()
    await settle()
    replaced = submit(batcher, 4.0)
    await settle()
    model.gate.set()
    assert [await value(t) for t in (running, waiting[1], replaced)] == [0.0, 4.0, 8.0]


async def test_shapes_never_mix_and_never_starve():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    first = submit(batcher, 0.0, "a")
    await settle()
    rare = submit(batcher, 9.0, "rare")
    await asyncio.sleep(0.002)
    busy = [submit(batcher, float(i), "a") for i in range(1, 6)]
    await settle()
    model.gate.set()
    await asyncio.gather(first, rare, *busy)
    assert model.batches == [[0.0], [9.0], [1.0, 2.0, 3.0, 4.0], [5.0]]


async def test_the_number_of_waiting_shapes_is_bounded():
    model = GatedModel(is_open=False)
    batcher, _ = make(model, max_buckets=2)
    tasks = [submit(batcher, 0.0, 0)]
    await settle()
    tasks += [submit(batcher, 1.0, 1), submit(batcher, 2.0, 2)]
    await settle()
    with pytest.raises(Overloaded, match="different shapes"):
        await batcher.submit(item(3.0, 3))
    model.gate.set()
    await asyncio.gather(*tasks)
    assert await value(submit(batcher, 3.0, 3)) == 6.0


async def test_priority_levels():
    model = GatedModel(is_open=False)
    batcher, _ = make(model, max_batch_size=1, priority_levels=2, default_priority=2)
    tasks = [submit(batcher, 0.0)]
    await settle()
    tasks += [submit(batcher, 1.0), submit(batcher, 2.0, priority=1)]
    await settle()
    model.gate.set()
    await asyncio.gather(*tasks)
    assert model.batches == [[0.0], [2.0], [1.0]]


async def test_preserved_order():
    class Reversed(GatedModel):
        async def run(self, inputs, *, alone):
            await asyncio.sleep(0.03 if inputs["x"][0, 0] == 1.0 else 0.0)
            return await super().run(inputs, alone=alone)

    model = Reversed()
    batcher, _ = make(model, max_batch_size=1, instances=2, preserve_ordering=True)
    order = []

    async def ask(v):
        try:
            await batcher.submit(item(v))
        finally:
            order.append(v)

    tasks = [asyncio.create_task(ask(v)) for v in (1.0, 2.0, 3.0)]
    await settle()
    await asyncio.gather(*tasks)
    assert order == [1.0, 2.0, 3.0]


async def test_a_cancelled_caller_does_not_hold_up_the_order():
    model = GatedModel(is_open=False)
    batcher, _ = make(model, max_batch_size=1, instances=1, preserve_ordering=True)
    first, gone, last = (submit(batcher, v) for v in (1.0, 2.0, 3.0))
    await settle()
    gone.cancel()
    await settle()
    model.gate.set()
    assert (await value(first), await value(last)) == (2.0, 6.0)


async def test_a_delay_gathers_company():
    model = GatedModel()
    batcher, observed = make(model, max_queue_delay_s=0.03)
    first = submit(batcher, 1.0)
    await asyncio.sleep(0.01)
    second = submit(batcher, 2.0)
    await asyncio.gather(first, second)
    assert observed.sizes == [2]


async def test_without_a_batch_axis_tensors_pass_as_they_are():
    class Whole:
        async def run(self, inputs, *, alone):
            return {"y": inputs["x"].sum()}

    batcher, _ = make(Whole(), max_batch_size=0)
    result = await batcher.submit(Item({"x": np.ones((2, 3))}, "b"))
    assert result.outputs["y"] == 6


async def test_shutdown_answers_what_waits_and_finishes_what_runs():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    running = submit(batcher, 1.0)
    await settle()
    waiting = submit(batcher, 2.0)
    await settle()
    closing = asyncio.create_task(batcher.close(NotReady("unloaded")))
    with pytest.raises(NotReady, match="unloaded"):
        await waiting
    with pytest.raises(NotReady):
        await batcher.submit(item(3.0))
    model.gate.set()
    assert await value(running) == 2.0
    await closing


async def test_drain_waits_and_gives_up():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    running = submit(batcher, 1.0)
    await settle()
    assert await batcher.drain(0.02) is False
    model.gate.set()
    assert await batcher.drain(1.0) is True
    await running


async def test_a_broken_policy_answers_everybody():
    model = GatedModel(is_open=False)
    batcher, _ = make(model)
    running = submit(batcher, 1.0)
    await settle()
    waiting = submit(batcher, 2.0)
    await settle()
    batcher._queues.waiting = lambda: 1 / 0
    model.gate.set()
    with pytest.raises(BackendFailed, match="batcher failed"):
        await waiting
    assert await value(running) == 2.0


async def test_exactly_one_right_answer_under_fire():
    """A thousand items of mixed shapes with cancels, poison, deadlines and a slow model."""
    chance = random.Random(7)

    class Slow(GatedModel):
        async def run(self, inputs, *, alone):
            await asyncio.sleep(chance.random() * 0.002)
            return await super().run(inputs, alone=alone)

    batcher, _ = make(Slow(), instances=2, default_policy=QueuePolicy(max_queue_size=300))
    outcomes = {"right": 0, "poisoned": 0, "cancelled": 0, "expired": 0, "full": 0}
    outcomes["wrong"] = 0

    async def ask(number):
        await asyncio.sleep(chance.random() * 0.3)
        poisoned = chance.random() < 0.03
        deadline = Deadline.after(0.005) if chance.random() < 0.1 else Deadline()
        v = POISON if poisoned else float(number)
        task = submit(batcher, v, number % 5, deadline=deadline)
        if chance.random() < 0.1:
            asyncio.get_running_loop().call_later(chance.random() * 0.01, task.cancel)
        try:
            assert await value(task) == 2.0 * number
            assert not poisoned
            outcomes["right"] += 1
        except asyncio.CancelledError:
            outcomes["cancelled"] += 1
        except Overloaded:
            outcomes["full"] += 1
        except DeadlineExceeded:
            outcomes["expired"] += 1
        except ServiceError:
            outcomes["poisoned" if poisoned else "wrong"] += 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(n) for n in range(1, 1001)))
    assert sum(outcomes.values()) == 1000
    assert outcomes["wrong"] == 0
    assert outcomes["right"] > 500
    assert outcomes["poisoned"] > 5
    assert batcher.pending() == 0
