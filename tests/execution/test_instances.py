"""Where batches run, and how wide."""

import asyncio
import threading

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.execution.backend import GraphSpecs, never
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.execution.instances import Instances


class FakeBackend:
    specs = GraphSpecs((), ())
    device = "cpu"
    widens = True

    def __init__(self, *, reentrant=True):
        self.reentrant = reentrant
        self.wide = []
        self.inside, self.most = 0, 0
        self.lock = threading.Lock()
        self.closed = False

    def run(self, inputs, *, wide, stop=never):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.wide.append(wide)
        try:
            return {"y": inputs["x"] + 1}
        finally:
            with self.lock:
                self.inside -= 1

    def close(self):
        self.closed = True


def work(run):
    return run({"x": np.zeros(1)})


async def test_wide_only_when_alone_and_the_cpu_is_idle():
    pool, backend = CpuPool(2), FakeBackend()
    instances = Instances([backend], 2, pool)
    assert (await instances.run(work, alone=True))["y"] == 1
    await instances.run(work, alone=False)
    gate = threading.Event()
    busy = asyncio.ensure_future(pool.run(gate.wait, priority=Priority.PRE))
    await asyncio.sleep(0.01)
    await instances.run(work, alone=True)
    gate.set()
    await busy
    assert backend.wide == [True, False, False]
    await instances.close()
    await pool.close()
    assert backend.closed


async def test_a_backend_that_is_not_reentrant_runs_one_at_a_time():
    backends = [FakeBackend(reentrant=False) for _ in range(2)]
    pool = CpuPool(2)
    instances = Instances(backends, 2, pool)
    for _ in range(10):
        await asyncio.gather(*(instances.run(work, alone=False) for _ in range(2)))
    assert [b.most for b in backends] == [1, 1]
    assert sum(len(b.wide) for b in backends) == 20
    await pool.close()


async def test_a_backend_is_not_lent_again_before_its_run_has_ended():
    backends = [FakeBackend(reentrant=False)]
    pool, gate, order = CpuPool(2), threading.Event(), []

    def slow(run):
        gate.wait(5)
        order.append("slow")
        return run({"x": np.zeros(1)})

    def quick(run):
        order.append("quick")
        return run({"x": np.zeros(1)})

    instances = Instances(backends, 2, pool)
    gone = asyncio.ensure_future(instances.run(slow, alone=False))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    second = asyncio.ensure_future(instances.run(quick, alone=False))
    await asyncio.sleep(0.01)
    gate.set()
    await second
    assert order == ["slow", "quick"]
    await pool.close()


async def test_what_the_work_raises_comes_back_and_the_backend_too():
    backend = FakeBackend(reentrant=False)
    pool = CpuPool(1)
    instances = Instances([backend], 1, pool)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await instances.run(lambda run: 1 / 0, alone=True)
    assert (await instances.run(work, alone=True))["y"] == 1
    await pool.close()


async def test_models_on_a_device_have_threads_of_their_own():
    instances = Instances([FakeBackend()], 1, None)
    assert (await instances.run(work, alone=False))["y"] == 1
    assert instances.device == "cpu"
    name = await instances.run(lambda run: threading.current_thread().name, alone=False)
    assert name.startswith("segserve-device")
    await instances.close()


class StoppableBackend(FakeBackend):
    widens = False

    def run(self, inputs, *, wide, stop=never):
        assert not wide
        if stop():
            raise Cancelled("nobody waits")
        return {"y": inputs["x"] + 2}


@pytest.mark.parametrize("reentrant", [True, False])
async def test_a_backend_that_can_be_stopped_is_told_whether_anybody_waits(reentrant):
    pool = CpuPool(1)
    instances = Instances([StoppableBackend(reentrant=reentrant)], 1, pool)
    assert (await instances.run(work, alone=True))["y"] == 2
    with pytest.raises(Cancelled):
        await instances.run(work, alone=False, stop=lambda: True)
    plain = Instances([FakeBackend(reentrant=reentrant)], 1, pool)
    assert (await plain.run(work, alone=False, stop=lambda: True))["y"] == 1
    await pool.close()


async def test_a_run_on_one_core_leaves_the_others_free():
    pool = CpuPool(2)
    instances = Instances([StoppableBackend()], 1, pool)
    gate = threading.Event()

    def slow(run):
        gate.wait(5)
        return run({"x": np.zeros(1)})

    task = asyncio.ensure_future(instances.run(slow, alone=True))
    await asyncio.sleep(0.01)
    beside = pool.run(lambda: "done", priority=Priority.POST)
    assert await asyncio.wait_for(beside, 2) == "done"
    gate.set()
    assert (await task)["y"] == 2
    await pool.close()


@pytest.mark.parametrize("widens", [True, False])
async def test_a_lone_run_has_all_cores_where_it_may(widens):
    pool = CpuPool(2)
    instances = Instances([FakeBackend()], 1, pool, widens=widens)
    free = []

    def look(run):
        free.append(pool.spare())
        return run({"x": np.zeros(1)})

    await instances.run(look, alone=True)
    assert free == [not widens]
    await pool.close()


async def test_bulk_batches_wait_behind_others():
    pool, gate, order = CpuPool(1), threading.Event(), []
    instances = Instances([FakeBackend()], 3, pool)
    blocker = asyncio.ensure_future(pool.run(gate.wait, priority=Priority.RUN))
    await asyncio.sleep(0.01)
    runs = [
        instances.run(lambda run, b=bulk: order.append(b), alone=False, bulk=bulk)
        for bulk in (True, False)
    ]
    gate.set()
    await asyncio.gather(blocker, *runs)
    assert order == [False, True]
    await pool.close()
