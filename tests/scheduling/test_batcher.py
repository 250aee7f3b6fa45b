"""Which items go together, and in which order."""

import asyncio
import time

import numpy as np

from segserve.scheduling.batcher import Item
from segserve.scheduling.policy import QueuePolicy


async def test_a_lone_item_goes_at_once_and_alone(open_desk):
    desk = open_desk()
    result = await desk.batcher.submit(desk.item(3.0))
    assert result.outputs["y"].tolist() == [6.0]
    assert (result.batch_size, desk.model.alone, desk.sizes) == (1, [True], [1])


async def test_what_gathers_while_the_model_is_busy_goes_together(shut_desk):
    desk = shut_desk()
    tasks = [await desk.busy()]
    tasks += [desk.submit(float(i)) for i in range(1, 7)]
    await desk.settle()
    desk.model.gate.set()
    assert [await desk.value(t) for t in tasks] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    assert desk.sizes == [1, 4, 2]
    assert desk.model.alone == [True, False, False]


async def test_what_arrives_in_one_sweep_is_one_batch(open_desk):
    desk = open_desk()
    results = await asyncio.gather(*(desk.submit(float(i)) for i in range(4)))
    assert [r.outputs["y"][0] for r in results] == [0, 2, 4, 6]
    assert desk.sizes == [4]


async def test_what_arrives_in_one_sweep_is_shared_among_idle_cores(open_desk):
    desk = open_desk(instances=2, spread=True)
    await asyncio.gather(*(desk.submit(float(i)) for i in range(4)))
    assert desk.sizes == [2, 2]


async def test_a_burst_behind_a_lone_item_is_shared_among_all_cores(shut_desk):
    desk = shut_desk(instances=2, max_batch_size=8, spread=True)
    tasks = [await desk.busy()]
    tasks += [desk.submit(float(i)) for i in range(1, 8)]
    await desk.settle()
    desk.model.gate.set()
    await asyncio.gather(*tasks)
    assert desk.sizes == [1, 4, 2, 1]


async def test_rows_that_run_long_on_a_core_run_one_by_one(open_desk, desk_over):
    model = open_desk().model

    def slow(inputs):
        time.sleep(0.12 * len(inputs["x"]))
        return model(inputs)

    class Slots:
        def spare(self):
            return True

        async def run(self, work, **told):
            return await asyncio.to_thread(work, slow)

    desk = desk_over(Slots(), spread=True)
    await asyncio.gather(*(desk.submit(float(i)) for i in range(2)))
    await asyncio.gather(*(desk.submit(float(i)) for i in range(2)))
    assert desk.sizes == [2, 1, 1]


async def test_one_batch_per_instance(shut_desk):
    desk = shut_desk(instances=2, max_batch_size=1)
    tasks = [desk.submit(float(i)) for i in range(5)]
    await desk.settle()
    assert desk.model.batches == [[0.0], [1.0]]
    assert desk.batcher.pending() == 3
    desk.model.gate.set()
    await asyncio.gather(*tasks)


async def test_queue_time_is_until_a_slot_began(shut_desk):
    desk = shut_desk()
    first = await desk.busy()
    second = desk.submit(1.0)
    await asyncio.sleep(0.05)
    desk.model.gate.set()
    assert (await first).timings.queue_s < 0.04 <= (await second).timings.queue_s


async def test_shapes_never_mix_and_never_starve(shut_desk):
    desk = shut_desk()
    first = await desk.busy(0.0, "a")
    rare = desk.submit(9.0, "rare")
    await asyncio.sleep(0.002)
    busy = [desk.submit(float(i), "a") for i in range(1, 6)]
    await desk.settle()
    desk.model.gate.set()
    await asyncio.gather(first, rare, *busy)
    assert desk.model.batches == [[0.0], [9.0], [1.0, 2.0, 3.0, 4.0], [5.0]]


async def test_a_steady_stream_of_one_shape_does_not_starve_another(open_desk):
    desk = open_desk()

    async def stream():
        while True:
            await asyncio.gather(*(desk.submit(float(i), "busy") for i in range(8)))

    streams = [asyncio.create_task(stream()) for _ in range(3)]
    await asyncio.sleep(0.01)
    before = len(desk.model.batches)
    assert await desk.value(desk.submit(100.0, "rare")) == 200.0
    assert len(desk.model.batches) - before < 12
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def test_priority_levels(shut_desk):
    desk = shut_desk(max_batch_size=1, priority_levels=2, default_priority=2)
    tasks = [await desk.busy()]
    tasks += [desk.submit(1.0), desk.submit(2.0, priority=1)]
    await desk.settle()
    desk.model.gate.set()
    await asyncio.gather(*tasks)
    assert desk.model.batches == [[0.0], [2.0], [1.0]]


async def test_a_delayed_item_goes_behind_its_level_but_before_lower_ones(shut_desk):
    in_time = QueuePolicy()
    delayed = QueuePolicy(reject=False, allow_timeout_override=True)
    desk = shut_desk(
        max_batch_size=1,
        priority_levels=2,
        default_priority=1,
        queue_policies={1: delayed, 2: in_time},
    )
    tasks = [await desk.busy()]
    tasks += [desk.submit(2.0, queue_timeout_us=1000), desk.submit(4.0, priority=2)]
    await asyncio.sleep(0.02)
    tasks.append(desk.submit(3.0))
    await desk.settle()
    desk.model.gate.set()
    await asyncio.gather(*tasks)
    assert desk.model.batches == [[0.0], [3.0], [2.0], [4.0]]


async def test_a_preferred_size_does_not_wait_and_the_rest_does(open_desk):
    desk = open_desk(max_batch_size=8, preferred_batch_sizes=(4,), max_queue_delay_s=0.05)
    start_s = time.monotonic()
    results = await asyncio.gather(*(desk.submit(float(i)) for i in range(6)))
    assert time.monotonic() - start_s >= 0.05
    assert desk.sizes == [4, 2]
    assert [r.outputs["y"][0] for r in results] == [0, 2, 4, 6, 8, 10]


async def test_a_delay_gathers_company(open_desk):
    desk = open_desk(max_queue_delay_s=0.05)
    first = desk.submit(1.0)
    await asyncio.sleep(0.005)
    await asyncio.gather(first, desk.submit(2.0))
    assert desk.sizes == [2]


async def test_without_a_batch_axis_tensors_pass_as_they_are(desk_over):
    class Whole:
        def spare(self):
            return True

        async def run(self, work, *, alone, **told):
            return work(lambda inputs: {"y": inputs["x"].sum()})

    desk = desk_over(Whole(), max_batch_size=0)
    items = [Item({"x": np.full((2, 3), n)}, "b") for n in (1, 2)]
    results = await asyncio.gather(*map(desk.batcher.submit, items))
    assert [r.outputs["y"] for r in results] == [6, 12]
    assert desk.sizes == [1, 1]


async def test_idle_is_who_would_run_an_item_at_once(shut_desk, open_desk):
    assert not open_desk(max_queue_delay_s=0.1).batcher.idle()
    desk = shut_desk()
    assert desk.batcher.idle()
    waiting = desk.submit(1.0)
    await asyncio.sleep(0)
    assert not desk.batcher.idle()  # it waits
    await desk.settle()
    assert desk.batcher.pending() == 0
    assert not desk.batcher.idle()  # it runs
    desk.model.gate.set()
    await waiting
    await desk.settle()
    assert desk.batcher.idle()
