"""Work before an item's run and behind it, on the slot's thread: when, and what it may raise."""

import asyncio
import time

import numpy as np
import pytest

from segserve.core.errors import BackendFailed, InvalidInput
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
        def spare(self):
            return True

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


async def test_work_that_follows_is_done_at_once_for_an_item_that_ran_alone(open_desk):
    desk = open_desk()
    result = await desk.submit(3.0, then=lambda outputs: outputs["y"][0] + 1)
    assert result.done == 7.0
    assert result.outputs == {}


async def test_work_that_follows_is_left_to_the_caller_where_others_would_wait(open_desk):
    desk = open_desk()
    items = (desk.submit(float(i), then=lambda _: "done") for i in range(2))
    results = await asyncio.gather(*items)
    assert [r.done for r in results] == [None, None]
    assert [r.outputs["y"][0] for r in results] == [0, 2]


async def test_work_that_follows_is_done_at_once_where_no_core_is_free(open_desk):
    desk = open_desk()
    desk.model.has_spare = False

    def fail(_outputs):
        raise ZeroDivisionError("a bug")

    thens = (lambda outputs: outputs["y"][0] + 1, fail, lambda _: "done")
    items = (desk.submit(float(i), then=then) for i, then in enumerate(thens))
    first, second, third = await asyncio.gather(*items, return_exceptions=True)
    assert desk.sizes == [3]
    assert (first.done, third.done) == (1.0, "done")
    assert isinstance(second, ZeroDivisionError)


async def test_what_following_work_raises_is_the_answer(open_desk):
    desk = open_desk()

    def fail(_outputs):
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await desk.submit(3.0, then=fail)
    with pytest.raises(BackendFailed, match="poisoned"):
        await desk.submit(desk.model.POISON, then=fail)
    assert (await desk.submit(1.0)).done is None


async def test_nothing_follows_once_the_caller_has_gone(desk_over):
    class Slots:
        def spare(self):
            return True

        async def run(self, work, **_told):
            def model(inputs):
                task.cancel()
                return inputs

            return work(model)

    followed = []
    desk = desk_over(Slots())
    task = desk.submit(1.0, then=followed.append)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.sizes == [1]
    assert followed == []
