"""Where batches run, and how wide."""

import asyncio
import threading

import numpy as np

from segserve.execution.backend import GraphSpecs
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.execution.instances import Instances


class FakeBackend:
    specs = GraphSpecs((), ())
    device = "cpu"

    def __init__(self, *, reentrant=True):
        self.reentrant = reentrant
        self.wide = []
        self.inside, self.most = 0, 0
        self.lock = threading.Lock()
        self.closed = False

    def run(self, inputs, *, wide):
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


X = {"x": np.zeros(1)}


async def test_wide_only_when_alone_and_the_cpu_is_idle():
    pool, backend = CpuPool(2), FakeBackend()
    instances = Instances([backend], 2, pool)
    assert (await instances.run(X, alone=True))["y"] == 1
    await instances.run(X, alone=False)
    gate = threading.Event()
    busy = asyncio.create_task(pool.run(gate.wait, priority=Priority.PRE))
    await asyncio.sleep(0.01)
    await instances.run(X, alone=True)
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
        await asyncio.gather(*(instances.run(X, alone=False) for _ in range(2)))
    assert [b.most for b in backends] == [1, 1]
    assert sum(len(b.wide) for b in backends) == 20
    await pool.close()


async def test_models_on_a_device_have_threads_of_their_own():
    instances = Instances([FakeBackend()], 1, None)
    assert (await instances.run(X, alone=False))["y"] == 1
    await instances.close()
