"""What models share of the CPU, and its end."""

import pytest

from segserve.core.deadline import NO_DEADLINE
from segserve.core.errors import ShuttingDown
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.execution.waiting_room import WaitingRoom
from segserve.observability.metrics import Metrics
from segserve.serving.cpu_side import CpuSide
from segserve.serving.refine_queue import RefineLimits, RefineQueue


async def test_closing_ends_all_threads():
    cpu = CpuSide(CpuPool(1), CpuPool(1), WaitingRoom(), RefineQueue(RefineLimits()))
    metrics = Metrics().model("m", "1", {})
    assert await cpu.pool.run(lambda: 1, priority=Priority.POST) == 1
    await cpu.close()
    for pool in (cpu.pool, cpu.aside):
        with pytest.raises(ShuttingDown):
            await pool.run(lambda: 1, priority=Priority.POST)
    with pytest.raises(ShuttingDown):
        await cpu.refinements.run(
            lambda stop: 1, cost_bytes=1, deadline=NO_DEADLINE, metrics=metrics
        )
    assert cpu.refinements.pending == 0
