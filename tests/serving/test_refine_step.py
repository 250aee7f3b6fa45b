"""The last step: refined in time, or unrefined and flagged."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded
from segserve.core.messages import EncodedImage, ModelRef, SegmentRequest
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.execution.waiting_room import WaitingRoom
from segserve.families.family import Findings, Plan
from segserve.observability.metrics import Metrics
from segserve.serving.cpu_side import CpuSide
from segserve.serving.refine_queue import RefineLimits, RefineQueue
from segserve.serving.refine_step import Finisher

PLAN = Plan(4, 4, {}, (), 48, 0.0, None)


class PlainFamily:
    def postprocess(self, outputs, plan, options):
        return Findings()


class SlowFamily(PlainFamily):
    def __init__(self, budget_s, takes_s=0.0, needs_bytes=1):
        self.budget_s = budget_s
        self.needs_bytes = needs_bytes
        self.takes_s = takes_s

    def refine_budget_s(self, options):
        return self.budget_s

    def refine_bytes(self, outputs, plan, options):
        return self.needs_bytes

    def refine(self, image, outputs, plan, options, *, stop):
        time.sleep(self.takes_s)
        return Findings(refined=True)


class HangingFamily(SlowFamily):
    """Refines until the test lets it end."""

    def __init__(self, budget_s):
        super().__init__(budget_s)
        self.began, self.may_end, self.ended = (threading.Event() for _ in range(3))

    def refine(self, image, outputs, plan, options, *, stop):
        self.began.set()
        self.may_end.wait(20)
        self.ended.set()
        return Findings(refined=True)


@pytest.fixture
def pool(cpu):
    return cpu.pool


@pytest.fixture
async def cpu():
    cpu = CpuSide(CpuPool(1), CpuPool(1), WaitingRoom(), RefineQueue(RefineLimits()))
    yield cpu
    await cpu.close()


@pytest.fixture
async def finish(cpu):
    metrics = Metrics().model("m", "1", {})

    async def run(family, deadline_s=None):
        request = SegmentRequest(
            ModelRef("m", 1), EncodedImage(b""), deadline=Deadline.after(deadline_s)
        )
        findings, seconds = await Finisher(family, cpu, metrics).finish(request, {}, PLAN)
        assert seconds >= 0
        return findings.refined

    return run


async def test_families_that_cannot_refine_say_nothing(finish):
    assert await finish(PlainFamily()) is None


async def test_what_is_not_wanted_is_not_flagged(finish):
    assert await finish(SlowFamily(None)) is None


async def test_refined_within_the_budget(finish):
    assert await finish(SlowFamily(5.0)) is True


async def test_unrefined_after_the_budget(finish):
    family = HangingFamily(0.03)
    assert await finish(family) is False
    assert not family.ended.is_set()
    family.may_end.set()


async def test_at_the_budget_nobody_waits_for_a_core(finish, pool):
    family, core = HangingFamily(0.3), threading.Event()
    asked = asyncio.create_task(finish(family))
    await asyncio.to_thread(family.began.wait, 10)
    busy = asyncio.ensure_future(pool.run(partial(core.wait, 10), priority=Priority.RUN))
    assert await asked is False
    assert not busy.done()
    core.set()
    family.may_end.set()
    await busy


async def test_the_callers_deadline_counts_too(finish):
    with pytest.raises(DeadlineExceeded):
        await finish(SlowFamily(5.0, takes_s=0.2), deadline_s=0.03)


async def test_one_that_needs_more_memory_than_there_is_is_left_out(finish):
    assert await finish(SlowFamily(5.0, needs_bytes=RefineLimits().max_bytes)) is True
    assert await finish(SlowFamily(5.0, needs_bytes=RefineLimits().max_bytes + 1)) is False


async def test_a_budget_that_is_over_before_anything_began(finish):
    assert await finish(SlowFamily(-1.0)) is False
