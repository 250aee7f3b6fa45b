"""The bound on prepared images."""

import asyncio

import pytest

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import DeadlineExceeded
from segserve.scheduling.prepared import Prepared


async def test_waits_for_room_and_a_cancelled_waiter_costs_no_place():
    prepared = Prepared(1)
    with await prepared.row(NO_DEADLINE):
        waiter = asyncio.create_task(prepared.row(NO_DEADLINE))
        await asyncio.sleep(0.01)
        assert prepared.waiting == 1
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert prepared.waiting == 0
    async with asyncio.timeout(1):
        (await prepared.row(NO_DEADLINE)).release()


async def test_a_deadline_is_looked_at_again_once_there_is_room():
    prepared = Prepared(1)
    with pytest.raises(DeadlineExceeded):
        await prepared.row(Deadline.after(-1))
    async with asyncio.timeout(1):
        (await prepared.row(NO_DEADLINE)).release()


async def test_a_deadline_that_passes_while_waiting_is_answered_then():
    prepared = Prepared(1)
    with await prepared.row(NO_DEADLINE):
        async with asyncio.timeout(1):
            with pytest.raises(DeadlineExceeded):
                await prepared.row(Deadline.after(0.01))
        assert prepared.waiting == 0
    async with asyncio.timeout(1):
        (await prepared.row(Deadline.after(1))).release()


async def test_first_come_first_served_and_never_more_than_there_are():
    prepared = Prepared(2)
    inside, most, order = 0, 0, []

    async def hold(n):
        nonlocal inside, most
        with await prepared.row(Deadline.after(5)):
            order.append(n)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(hold(n) for n in range(10)))
    assert (most, order) == (2, list(range(10)))


async def test_bulk_images_wait_behind_others_but_not_for_ever():
    prepared, order = Prepared(1), []

    async def hold(bulk):
        with await prepared.row(NO_DEADLINE, bulk=bulk):
            order.append(bulk)

    with await prepared.row(NO_DEADLINE):
        tasks = [asyncio.create_task(hold(bulk)) for bulk in [True, True] + [False] * 9]
        await asyncio.sleep(0)
        assert prepared.waiting == 11
    await asyncio.gather(*tasks)
    assert [n for n, bulk in enumerate(order) if bulk] == [7, 10]
    assert prepared.waiting == 0


async def test_a_place_that_comes_when_the_caller_goes_is_passed_on():
    prepared = Prepared(1)
    first = await prepared.row(NO_DEADLINE)
    gone = asyncio.create_task(prepared.row(NO_DEADLINE))
    stays = asyncio.create_task(prepared.row(NO_DEADLINE))
    await asyncio.sleep(0)
    first.release()
    gone.cancel()
    async with asyncio.timeout(1):
        await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
