"""An image that has the machine to itself goes through decoding, model and masks on one thread."""

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput
from segserve.core.messages import EncodedImage, ModelRef, RawImage, SegmentRequest
from segserve.execution.cpu_pool import Priority


@pytest.fixture
async def house(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    house.asked = []
    run = house.pool.run

    async def told(work, *, priority, **more):
        house.asked.append(priority.name)
        return await run(work, priority=priority, **more)

    house.pool.run = told
    return house


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
    running = asyncio.create_task(house.pool.run(gate.wait, priority=Priority.PRE))
    await asyncio.sleep(0)
    asked = asyncio.create_task(house.engine.segment(image()))
    async with asyncio.timeout(10):
        await asked
    assert house.asked == ["PRE", "PRE", "RUN"]
    gate.set()
    await running


async def test_of_many_that_come_together_the_first_alone_goes_at_once(house):
    await asyncio.gather(*(house.engine.segment(image()) for _ in range(4)))
    assert house.asked.count("PRE") == 3


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
