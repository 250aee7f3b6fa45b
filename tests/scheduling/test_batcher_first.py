"""Work that fills an item's inputs on the slot's thread: when, and what becomes of its failures."""

import asyncio
import time

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.scheduling.batcher import Item


class Unfilled:
    """An item's inputs, and the work that fills them."""

    def __init__(self, value):
        self.row = np.zeros(1, np.float32)
        self._value = value

    def fill(self):
        self.row[:] = self._value
        return f"filled with {self._value:g}"

    def item(self, first=None):
        return Item({"x": self.row}, "b", first=first or self.fill)


async def test_inputs_are_filled_before_the_run(open_desk):
    desk = open_desk()
    result = await desk.batcher.submit(Unfilled(3.0).item())
    assert (result.begun, result.outputs["y"][0]) == ("filled with 3", 6)
    assert (await desk.submit(1.0)).begun is None


async def test_filling_is_not_waiting(open_desk):
    unfilled = Unfilled(3.0)

    def slowly():
        time.sleep(0.3)
        return unfilled.fill()

    result = await open_desk().batcher.submit(unfilled.item(slowly))
    assert result.timings.queue_s + result.timings.batch_s < 0.15


async def test_what_filling_raises_costs_the_neighbours_nothing(open_desk):
    desk = open_desk()

    def fail():
        raise InvalidInput("truncated")

    items = [Unfilled(1.0).item(fail), Unfilled(2.0).item()]
    bad, good = await asyncio.gather(
        *(desk.batcher.submit(item) for item in items), return_exceptions=True
    )
    assert isinstance(bad, InvalidInput)
    assert good.outputs["y"][0] == 4
    assert desk.sizes == [1]


async def test_nothing_is_filled_once_the_caller_has_gone(desk_over):
    class Slots:
        async def run(self, work, **_told):
            task.cancel()
            await asyncio.sleep(0)
            return work(None)

    filled = []
    desk = desk_over(Slots())
    task = asyncio.create_task(desk.batcher.submit(Unfilled(1.0).item(lambda: filled.append(1))))
    with pytest.raises(asyncio.CancelledError):
        await task
    await desk.settle()
    assert filled == []


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
