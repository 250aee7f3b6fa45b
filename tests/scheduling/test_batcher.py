"""The batcher with a gated fake model: every caller gets exactly one right answer."""

import asyncio
import random

import numpy as np
import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    ServiceError,
)
from segserve.scheduling.batcher import Item
from segserve.scheduling.policy import QueuePolicy


async def test_a_lone_item_goes_at_once_and_alone(kit):
    model = kit.GatedModel()
    batcher, observed = kit.make(model)
    result = await batcher.submit(kit.item(3.0))
    assert result.outputs["y"].tolist() == [6.0]
    assert (result.batch_size, model.alone, observed.sizes) == (1, [True], [1])


async def test_what_gathers_while_the_model_is_busy_goes_together(kit):
    model = kit.GatedModel(is_open=False)
    batcher, observed = kit.make(model)
    tasks = [kit.submit(batcher, 0.0)]
    await kit.settle()
    tasks += [kit.submit(batcher, float(i)) for i in range(1, 7)]
    await kit.settle()
    model.gate.set()
    assert [await kit.value(t) for t in tasks] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert observed.sizes == [1, 4, 2]


async def test_what_arrives_in_one_sweep_is_one_batch(kit):
    model = kit.GatedModel()
    batcher, observed = kit.make(model)
    results = await asyncio.gather(*(batcher.submit(kit.item(float(i))) for i in range(4)))
    assert [r.outputs["y"][0] for r in results] == [0, 2, 4, 6]
    assert observed.sizes == [4]


async def test_cancelled_in_queue_costs_the_model_nothing_and_neighbours_nothing(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    first = kit.submit(batcher, 1.0)
    await kit.settle()
    gone, stays = kit.submit(batcher, 2.0), kit.submit(batcher, 3.0)
    await kit.settle()
    gone.cancel()
    await kit.settle()
    assert batcher.pending() == 1
    model.gate.set()
    assert (await kit.value(first), await kit.value(stays)) == (2.0, 6.0)
    assert model.batches == [[1.0], [3.0]]


async def test_cancelled_while_running_leaves_neighbours_their_answers(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    gone, stays = kit.submit(batcher, 1.0), kit.submit(batcher, 2.0)
    await kit.settle()
    gone.cancel()
    await kit.settle()
    model.gate.set()
    assert await kit.value(stays) == 4.0
    assert model.batches == [[1.0, 2.0]]


async def test_one_poisoned_item_fails_alone(kit):
    model = kit.GatedModel()
    batcher, _ = kit.make(model)
    results = await asyncio.gather(
        *(batcher.submit(kit.item(v)) for v in (1.0, kit.POISON, 3.0)), return_exceptions=True
    )
    assert [type(r) is BackendFailed for r in results] == [False, True, False]
    assert results[2].outputs["y"].tolist() == [6.0]


async def test_a_model_without_a_row_per_item_is_found_out(kit):
    model = kit.GatedModel()
    model.wrong_rows = True
    batcher, _ = kit.make(model)
    results = await asyncio.gather(
        batcher.submit(kit.item(1.0)), batcher.submit(kit.item(2.0)), return_exceptions=True
    )
    assert all(isinstance(r, BackendFailed | type(results[0])) for r in results)
    model.wrong_rows = False
    assert await kit.value(kit.submit(batcher, 5.0)) == 10.0


async def test_without_a_batch_axis_tensors_pass_as_they_are(kit):
    class Whole:
        async def run(self, inputs, *, alone):
            return {"y": inputs["x"].sum()}

    batcher, _ = kit.make(Whole(), max_batch_size=0)
    result = await batcher.submit(Item({"x": np.ones((2, 3))}, "b"))
    assert result.outputs["y"] == 6


async def test_shutdown_answers_what_waits_and_finishes_what_runs(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    running = kit.submit(batcher, 1.0)
    await kit.settle()
    waiting = kit.submit(batcher, 2.0)
    await kit.settle()
    closing = asyncio.create_task(batcher.close(NotReady("unloaded")))
    with pytest.raises(NotReady, match="unloaded"):
        await waiting
    with pytest.raises(NotReady):
        await batcher.submit(kit.item(3.0))
    model.gate.set()
    assert await kit.value(running) == 2.0
    await closing


async def test_drain_waits_and_gives_up(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    running = kit.submit(batcher, 1.0)
    await kit.settle()
    assert await batcher.drain(0.02) is False
    model.gate.set()
    assert await batcher.drain(1.0) is True
    await running


async def test_a_broken_policy_answers_everybody(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    running = kit.submit(batcher, 1.0)
    await kit.settle()
    waiting = kit.submit(batcher, 2.0)
    await kit.settle()
    batcher._queues.waiting = lambda: 1 / 0
    model.gate.set()
    with pytest.raises(BackendFailed, match="batcher failed"):
        await waiting
    assert await kit.value(running) == 2.0


async def test_exactly_one_right_answer_under_fire(kit):
    """A thousand items of mixed shapes with cancels, poison, deadlines and a slow model."""
    chance = random.Random(7)

    class Slow(kit.GatedModel):
        async def run(self, inputs, *, alone):
            await asyncio.sleep(chance.random() * 0.002)
            return await super().run(inputs, alone=alone)

    batcher, _ = kit.make(Slow(), instances=2, default_policy=QueuePolicy(max_queue_size=300))
    outcomes = {"right": 0, "poisoned": 0, "cancelled": 0, "expired": 0, "full": 0}
    outcomes["wrong"] = 0

    async def ask(number):
        await asyncio.sleep(chance.random() * 0.3)
        poisoned = chance.random() < 0.03
        deadline = Deadline.after(0.005) if chance.random() < 0.1 else Deadline()
        v = kit.POISON if poisoned else float(number)
        task = kit.submit(batcher, v, number % 5, deadline=deadline)
        if chance.random() < 0.1:
            asyncio.get_running_loop().call_later(chance.random() * 0.01, task.cancel)
        try:
            assert await kit.value(task) == 2.0 * number
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
