"""Decoding, model and masks on one thread: for an image that has the machine to itself, and for
those that find it full."""

import asyncio
import io
import threading
from functools import partial

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.core.messages import EncodedImage, InferRequest, ModelRef, RawImage, SegmentRequest
from segserve.execution.cpu_pool import Priority


def overhear(house):
    """Note in ``house.asked`` what the pool is asked to do; runs wait for ``house.gate``."""
    house.asked, house.gate = [], threading.Event()
    house.gate.set()
    run = house.pool.run

    def told(work, *, priority, **more):
        house.asked.append(priority.name)
        return run(partial(held, work, priority), priority=priority, **more)

    def held(work, priority):
        if priority is Priority.RUN:
            house.gate.wait()
        return work()

    house.pool.run = told
    return house


@pytest.fixture
async def house(open_house, repository, writers):
    writers.bright(repository)
    return overhear(await open_house())


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


def image(side=8, **fields):
    pixels = np.zeros((side, side, 3), np.uint8)
    return SegmentRequest(ModelRef("bright"), RawImage(pixels), **fields)


async def test_a_lone_image_is_handed_to_a_thread_once(house):
    answer = await house.engine.segment(image())
    assert house.asked == ["RUN"]
    assert answer.timings.decode_s > 0
    assert answer.image_digest.startswith("sha256:")


async def test_a_large_one_is_decoded_apart(house):
    await house.engine.segment(image(900))
    assert house.asked == ["PRE", "RUN"]


async def test_one_beside_others_is_decoded_apart(house):
    gate = threading.Event()
    running = asyncio.ensure_future(house.pool.run(gate.wait, priority=Priority.PRE))
    await asyncio.sleep(0)
    asked = asyncio.create_task(house.engine.segment(image()))
    async with asyncio.timeout(10):
        await asked
    assert house.asked == ["PRE", "PRE", "RUN"]
    gate.set()
    await running


@pytest.mark.parametrize(
    ("core_is_free", "asked"), [(False, ["RUN"]), (True, ["PRE", "RUN", "POST", "POST", "POST"])]
)
async def test_those_that_find_instance_and_cores_busy_are_handed_over_with_their_batch(
    open_house, repository, writers, core_is_free, asked
):
    config = writers.bright(repository) / "config.pbtxt"
    config.write_text(config.read_text() + "instance_group { count: 1 kind: KIND_CPU }\n")
    house = overhear(await open_house())
    house.gate.clear()
    core = threading.Event()
    other = asyncio.ensure_future(house.pool.run(core.wait, priority=Priority.PRE))
    await asyncio.sleep(0)
    tensor = InferRequest(ModelRef("bright"), {"image": np.zeros((1, 3, 8, 8), np.float32)})
    first = asyncio.create_task(house.engine.infer(tensor))
    await until(lambda: "RUN" in house.asked)
    if core_is_free:
        core.set()
        await other
    house.asked.clear()
    rest = [asyncio.create_task(house.engine.segment(image())) for _ in range(3)]
    (version,) = house.registry.ready_versions("bright").values()
    batcher = version.parts.lanes.main.batcher
    await until(lambda: batcher.pending() == 3)
    house.gate.set()
    answers = await asyncio.gather(*rest)
    assert [answer.batch_size for answer in answers] == [3] * 3
    assert house.asked == asked
    core.set()
    await asyncio.gather(first, other)


async def test_of_many_that_come_together_none_waits_to_be_decoded(house):
    await asyncio.gather(*(house.engine.segment(image()) for _ in range(12)))
    assert house.asked.count("PRE") <= house.pool.cores


async def test_a_large_one_is_decoded_in_turn_with_the_batches_where_no_core_is_free(house):
    house.gate.clear()
    first = asyncio.create_task(house.engine.segment(image()))
    await until(lambda: "RUN" in house.asked)
    large, small = (asyncio.create_task(house.engine.segment(image(side))) for side in (900, 8))
    await until(lambda: house.pool.waiting()["interactive", "run"] == 2)
    assert house.pool.waiting()["interactive", "pre"] == 0
    house.gate.set()
    await asyncio.gather(first, large, small)


async def test_what_cannot_be_decoded_is_told_and_the_next_is_served(house):
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole, "JPEG")
    truncated = EncodedImage(whole.getvalue()[: len(whole.getvalue()) // 2])
    for _ in range(2):
        with pytest.raises(InvalidInput, match="truncated"):
            await house.engine.segment(SegmentRequest(ModelRef("bright"), truncated))
    assert (await house.engine.segment(image())).width_px == 8
    assert house.asked[0] == "RUN"
