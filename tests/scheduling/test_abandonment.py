"""When nobody waits for a batch any more."""

import asyncio

import numpy as np

from segserve.core.deadline import Deadline
from segserve.scheduling.abandonment import Abandonment
from segserve.scheduling.item import BatchResult, Entry, Item


def entry(deadline=None):
    item = Item({"x": np.zeros(1)}, "b", **({"deadline": deadline} if deadline else {}))
    return Entry(item, asyncio.get_running_loop().create_future(), 0, 0.0)


class Told:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1


async def test_the_end_is_told_when_the_last_caller_has_gone():
    entries, told = [entry(), entry()], Told()
    gone = Abandonment(entries)
    gone.tell(told)
    entries[0].future.cancel()
    await asyncio.sleep(0)
    assert (gone(), told.times) == (False, 0)
    entries[1].future.cancel()
    await asyncio.sleep(0)
    assert (gone(), told.times) == (True, 1)


async def test_who_asks_too_late_is_told_at_once():
    one, told = entry(), Told()
    gone = Abandonment([one])
    one.future.cancel()
    gone.tell(told)
    assert told.times == 1


async def test_whose_deadline_has_passed_waits_no_more():
    told = Told()
    gone = Abandonment([entry(Deadline.after(-1.0))])
    assert gone()
    gone.tell(told)
    assert told.times == 1


async def test_the_last_run_of_a_batch_is_the_one_that_is_ended():
    one, first, second = entry(), Told(), Told()
    gone = Abandonment([one])
    gone.tell(first)
    gone.tell(second)
    one.future.cancel()
    await asyncio.sleep(0)
    assert (first.times, second.times) == (0, 1)


async def test_an_answered_caller_waits_no_more():
    one = entry()
    gone = Abandonment([one])
    one.future.set_result(BatchResult({}, None, 1, 0))
    await asyncio.sleep(0)
    assert gone()
