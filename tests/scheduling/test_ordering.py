"""Tickets are released in order."""

import asyncio
import itertools

from segserve.scheduling.ordering import Ordering


async def test_every_order_of_finishing_releases_in_order():
    for finishing in itertools.permutations(range(4)):
        ordering = Ordering()
        tickets = [ordering.enter() for _ in range(4)]
        finished = set()
        for index in finishing:
            ordering.finish(tickets[index])
            finished.add(index)
            want = [all(n in finished for n in range(i + 1)) for i in range(4)]
            assert [t.released.is_set() for t in tickets] == want


async def test_whoever_waits_is_woken():
    ordering = Ordering()
    first, second = ordering.enter(), ordering.enter()
    ordering.finish(second)
    waiter = asyncio.create_task(second.released.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    ordering.finish(first)
    async with asyncio.timeout(1):
        await waiter
