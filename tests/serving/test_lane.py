"""Images that are refined: with the others, or aside where every core is busy."""

import asyncio
import threading

import numpy as np
import pytest

from segserve.core.errors import NotReady
from segserve.core.messages import ModelRef, RawImage, SegmentRequest
from segserve.core.options import Refine, SegmentOptions
from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.scheduling.batcher import Batcher
from segserve.scheduling.policy import BatchLimits
from segserve.scheduling.prepared import Prepared
from segserve.scheduling.slab import SlabAllocator
from segserve.serving.lane import Lane, Lanes, aside_limits

REFINED = SegmentOptions(refine=Refine.DENSE_CRF)


def lane(row_s=0.0):
    return Lane(
        Batcher(None, BatchLimits(4), None, row_s), Prepared(1), SlabAllocator(1), decodes=True
    )


@pytest.fixture
async def pool():
    made = CpuPool(1)
    yield made
    await made.close()


async def full(pool):
    """Take every core; gives what lets them go."""
    gate = threading.Event()
    held = [
        asyncio.ensure_future(pool.run(gate.wait, priority=Priority.PRE)) for _ in range(pool.cores)
    ]
    await asyncio.sleep(0)

    async def let_go():
        gate.set()
        await asyncio.gather(*held)

    return let_go


@pytest.mark.parametrize(
    ("busy", "refined", "row_s", "aside"),
    [
        (True, True, 0.09, True),
        (False, True, 0.09, False),  # a core is free
        (True, False, 0.09, False),  # somebody waits for the network alone
        (True, True, 0.11, False),  # behind others it would take too long
    ],
)
async def test_the_lane_of_an_image(pool, busy, refined, row_s, aside):
    lanes = Lanes(lane(row_s), lane())
    let_go = await full(pool) if busy else None
    chosen = lanes.choose(pool, "bucket", refined=refined)
    assert chosen is (lanes.aside if aside else lanes.main)
    if let_go is not None:
        await let_go()


async def test_a_model_without_a_lane_aside(pool):
    lanes = Lanes(lane())
    let_go = await full(pool)
    assert lanes.choose(pool, "bucket", refined=True) is lanes.main
    await let_go()


def test_aside_runs_one_by_one_and_waits_for_no_batch():
    limits = BatchLimits(8, 4, (4, 8), 0.5, queue_policies={}, max_buckets=7)
    aside = aside_limits(limits)
    assert (aside.max_batch_size, aside.instances, aside.max_queue_delay_s) == (1, 1, 0.0)
    assert aside.preferred_batch_sizes == ()
    assert aside.max_buckets == 7


def request(options=None, side_px=16):
    pixels = np.random.default_rng(0).integers(0, 255, (side_px, side_px, 3), np.uint8)
    more = {} if options is None else {"options": options}
    return SegmentRequest(ModelRef("bright"), RawImage(pixels), **more)


async def test_where_every_core_is_busy_refined_images_are_answered_all_the_same(
    open_house, repository, writers
):
    writers.bright(repository)
    house = await open_house()
    usual = await house.engine.segment(request(REFINED))
    let_go = await full(house.pool)
    plain = asyncio.create_task(house.engine.segment(request()))
    async with asyncio.timeout(20):
        aside = await asyncio.gather(*(house.engine.segment(request(REFINED)) for _ in range(5)))
    assert not plain.done()
    assert [answer.refined for answer in (usual, *aside)] == [True] * 6
    for answer in aside:
        assert np.array_equal(answer.label_map.labels, usual.label_map.labels)
        assert answer.batch_size == 1
        assert answer.timings.decode_s > 0
    await let_go()
    assert (await plain).refined is None


async def test_who_has_a_lane_aside(open_house, repository, writers):
    writers.bright(repository)
    writers.scale(repository)
    house = await open_house()
    lanes = {name: house.registry.get(ModelRef(name)).parts.lanes for name in ("bright", "scale")}
    assert lanes["bright"].aside is not None
    assert lanes["bright"].aside.decodes
    assert lanes["scale"].aside is None


async def test_a_model_that_goes_answers_who_waits_aside(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    served = house.registry.get(ModelRef("bright"))
    let_go = await full(house.pool)
    back = await full(house.cpu.aside)
    waiting = [asyncio.create_task(house.engine.segment(request(REFINED))) for _ in range(3)]
    async with asyncio.timeout(10):
        while served.parts.lanes.pending() == 0:  # noqa: ASYNC110  the queue tells nobody
            await asyncio.sleep(0.01)
    closing = asyncio.create_task(served.close(NotReady("gone"), 0.05))
    await asyncio.sleep(0.1)
    await back()
    await let_go()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await closing
    assert served.parts.lanes.pending() == 0
    assert all(isinstance(answer, NotReady) or answer.refined is not None for answer in answers)
    assert any(isinstance(answer, NotReady) for answer in answers)
