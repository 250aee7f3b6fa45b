"""`preserve_ordering`: the order of admission is that of the answers, for images and tensors."""

import asyncio

import numpy as np
import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded, InvalidInput
from segserve.core.messages import InferRequest, ModelRef, RawImage, SegmentRequest
from segserve.execution.cpu_pool import Priority

BIG_PX = 900
"""The side of an image that is decoded on a thread of its own, even where it is alone."""
ORDERED = "dynamic_batching { preserve_ordering: true }"


class SlowDecoding:
    """Holds up the decoding of the first image until it is told to go on, or to fail."""

    def __init__(self, pool):
        self._run, self._first = pool.run, True
        self.reached, self.release = asyncio.Event(), asyncio.get_running_loop().create_future()
        pool.run = self.run

    async def run(self, work, *, priority, **told):
        if priority is Priority.PRE and self._first:
            self._first = False
            self.reached.set()
            await self.release
        return await self._run(work, priority=priority, **told)


@pytest.fixture
async def house(open_house, repository, writers, request):
    path = writers.bright(repository)
    config = path / "config.pbtxt"
    batching = getattr(request, "param", ORDERED)
    config.write_text(config.read_text().replace("dynamic_batching { }", batching))
    return await open_house()


def image(side=8, **fields):
    pixels = np.zeros((side, side, 3), np.uint8)
    return SegmentRequest(ModelRef("bright"), RawImage(pixels), **fields)


@pytest.mark.parametrize(
    ("house", "order"),
    [(ORDERED, ["big", "small"]), ("dynamic_batching { }", ["small", "big"])],
    indirect=["house"],
)
@pytest.mark.parametrize("kind", ["image", "tensor"])
async def test_an_image_that_takes_long_to_decode_keeps_its_place(house, order, kind):
    slow, ended = SlowDecoding(house.pool), []
    tensor = InferRequest(ModelRef("bright"), {"image": np.zeros((1, 3, 8, 8), np.float32)})

    async def ask(name, answer):
        await answer
        ended.append(name)

    engine = house.engine
    big = asyncio.create_task(ask("big", engine.segment(image(BIG_PX))))
    await slow.reached.wait()
    after = engine.segment(image()) if kind == "image" else engine.infer(tensor)
    small = asyncio.create_task(ask("small", after))
    await asyncio.wait([small], timeout=0.3)
    slow.release.set_result(None)
    async with asyncio.timeout(10):
        await asyncio.gather(big, small)
    assert ended == order


@pytest.mark.parametrize("end", ["decoding fails", "the caller leaves", "the deadline passes"])
async def test_nobody_hangs_behind_an_image_that_has_no_answer(house, end):
    slow = SlowDecoding(house.pool)
    deadline = Deadline.after(0.2 if end == "the deadline passes" else None)
    first = asyncio.create_task(house.engine.segment(image(BIG_PX, deadline=deadline)))
    await slow.reached.wait()
    others = [asyncio.create_task(house.engine.segment(image())) for _ in range(3)]
    await asyncio.wait(others, timeout=0.05)
    assert not any(other.done() for other in others)
    if end == "decoding fails":
        slow.release.set_exception(InvalidInput("broken"))
    elif end == "the caller leaves":
        first.cancel()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*others)
    assert [answer.width_px for answer in answers] == [8, 8, 8]
    expected = {"decoding fails": InvalidInput, "the caller leaves": asyncio.CancelledError}
    with pytest.raises(expected.get(end, DeadlineExceeded)):
        await first


async def test_more_images_than_places_for_prepared_ones(house):
    """Bulk images come first and are prepared last: those that wait for them hold no place."""
    ended = []

    async def ask(number, **fields):
        await house.engine.segment(image(4 + 4 * (number % 5), **fields))
        ended.append(number)

    rows = house.registry.get(ModelRef("bright")).parts.lanes.main.prepared.rows
    count = 6 * rows
    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(n, priority=2 * (n < count // 2)) for n in range(count)))
    assert ended == sorted(ended)
