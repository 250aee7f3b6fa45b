"""Waiting: time, room, order, priority and shapes, seen through the batcher."""

import asyncio
import time

import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded, Overloaded, QueueTimeout
from segserve.scheduling.policy import QueuePolicy


@pytest.mark.parametrize("kind", ["queue_timeout", "deadline"])
async def test_time_is_up_while_the_model_is_busy(kit, kind):
    model = kit.GatedModel(is_open=False)
    policy = QueuePolicy(default_timeout_us=30_000 if kind == "queue_timeout" else 0)
    batcher, _ = kit.make(model, default_policy=policy)
    running = kit.submit(batcher, 1.0)
    await kit.settle()
    fields = {"deadline": Deadline.after(0.03)} if kind == "deadline" else {}
    start_s = time.monotonic()
    late = kit.submit(batcher, 2.0, **fields)
    error = DeadlineExceeded if kind == "deadline" else QueueTimeout
    with pytest.raises(error):
        await late
    assert 0.025 < time.monotonic() - start_s < 1.0
    assert batcher.pending() == 0
    model.gate.set()
    assert await kit.value(running) == 2.0


async def test_a_delayed_item_goes_behind_all_others(kit):
    model = kit.GatedModel(is_open=False)
    policy = QueuePolicy(reject=False, default_timeout_us=1_000)
    batcher, _ = kit.make(model, max_batch_size=1, default_policy=policy)
    first = kit.submit(batcher, 1.0)
    await kit.settle()
    delayed = kit.submit(batcher, 2.0)
    await asyncio.sleep(0.02)
    fresh = kit.submit(batcher, 3.0)
    await kit.settle()
    model.gate.set()
    await asyncio.gather(first, delayed, fresh)
    assert model.batches == [[1.0], [3.0], [2.0]]


async def test_a_full_queue_is_refused_and_its_slots_come_back(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model, default_policy=QueuePolicy(max_queue_size=2))
    running = kit.submit(batcher, 0.0)
    await kit.settle()
    waiting = [kit.submit(batcher, 1.0), kit.submit(batcher, 2.0)]
    await kit.settle()
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        await batcher.submit(kit.item(3.0))
    waiting[0].cancel()
    await kit.settle()
    replaced = kit.submit(batcher, 4.0)
    await kit.settle()
    model.gate.set()
    assert [await kit.value(t) for t in (running, waiting[1], replaced)] == [0.0, 4.0, 8.0]


async def test_shapes_never_mix_and_never_starve(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model)
    first = kit.submit(batcher, 0.0, "a")
    await kit.settle()
    rare = kit.submit(batcher, 9.0, "rare")
    await asyncio.sleep(0.002)
    busy = [kit.submit(batcher, float(i), "a") for i in range(1, 6)]
    await kit.settle()
    model.gate.set()
    await asyncio.gather(first, rare, *busy)
    assert model.batches == [[0.0], [9.0], [1.0, 2.0, 3.0, 4.0], [5.0]]


async def test_the_number_of_waiting_shapes_is_bounded(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model, max_buckets=2)
    tasks = [kit.submit(batcher, 0.0, 0)]
    await kit.settle()
    tasks += [kit.submit(batcher, 1.0, 1), kit.submit(batcher, 2.0, 2)]
    await kit.settle()
    with pytest.raises(Overloaded, match="different shapes"):
        await batcher.submit(kit.item(3.0, 3))
    model.gate.set()
    await asyncio.gather(*tasks)
    assert await kit.value(kit.submit(batcher, 3.0, 3)) == 6.0


async def test_priority_levels(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model, max_batch_size=1, priority_levels=2, default_priority=2)
    tasks = [kit.submit(batcher, 0.0)]
    await kit.settle()
    tasks += [kit.submit(batcher, 1.0), kit.submit(batcher, 2.0, priority=1)]
    await kit.settle()
    model.gate.set()
    await asyncio.gather(*tasks)
    assert model.batches == [[0.0], [2.0], [1.0]]


async def test_preserved_order(kit):
    class Reversed(kit.GatedModel):
        async def run(self, inputs, *, alone):
            await asyncio.sleep(0.03 if inputs["x"][0, 0] == 1.0 else 0.0)
            return await super().run(inputs, alone=alone)

    model = Reversed()
    batcher, _ = kit.make(model, max_batch_size=1, instances=2, preserve_ordering=True)
    order = []

    async def ask(v):
        try:
            await batcher.submit(kit.item(v))
        finally:
            order.append(v)

    tasks = [asyncio.create_task(ask(v)) for v in (1.0, 2.0, 3.0)]
    await kit.settle()
    await asyncio.gather(*tasks)
    assert order == [1.0, 2.0, 3.0]


async def test_a_cancelled_caller_does_not_hold_up_the_order(kit):
    model = kit.GatedModel(is_open=False)
    batcher, _ = kit.make(model, max_batch_size=1, instances=1, preserve_ordering=True)
    first, gone, last = (kit.submit(batcher, v) for v in (1.0, 2.0, 3.0))
    await kit.settle()
    gone.cancel()
    await kit.settle()
    model.gate.set()
    assert (await kit.value(first), await kit.value(last)) == (2.0, 6.0)


async def test_a_delay_gathers_company(kit):
    model = kit.GatedModel()
    batcher, observed = kit.make(model, max_queue_delay_s=0.03)
    first = kit.submit(batcher, 1.0)
    await asyncio.sleep(0.01)
    second = kit.submit(batcher, 2.0)
    await asyncio.gather(first, second)
    assert observed.sizes == [2]
