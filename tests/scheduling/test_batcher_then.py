"""Work that follows an item's run on the same thread: when, and what becomes of its failures."""

import asyncio

import pytest

from segserve.core.errors import BackendFailed


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
