"""The bound on prepared images."""

import asyncio

import pytest

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import DeadlineExceeded
from segserve.scheduling.prepared import Prepared


async def test_waits_for_room_and_a_cancelled_waiter_costs_no_place():
    prepared = Prepared(1)
    async with prepared.row(NO_DEADLINE):
        waiter = asyncio.create_task(prepared.row(NO_DEADLINE).__aenter__())
        await asyncio.sleep(0.01)
        assert prepared.waiting == 1
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert prepared.waiting == 0
    async with asyncio.timeout(1), prepared.row(NO_DEADLINE):
        pass


async def test_a_deadline_is_looked_at_again_once_there_is_room():
    prepared = Prepared(1)
    with pytest.raises(DeadlineExceeded):
        await prepared.row(Deadline.after(-1)).__aenter__()
    async with asyncio.timeout(1), prepared.row(NO_DEADLINE):
        pass
