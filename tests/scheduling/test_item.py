"""Entries are answered once."""

import asyncio
import gc

from segserve.core.errors import BackendFailed, NotReady
from segserve.core.messages import Timings
from segserve.scheduling.item import BatchResult, Entry, Item, fresh

RESULT = BatchResult({}, Timings(), 1, 0)


def entry():
    return Entry(Item({}, "a"), asyncio.get_running_loop().create_future(), 1, 0.0)


async def test_the_first_answer_holds():
    one = entry()
    one.answer(RESULT)
    one.fail(BackendFailed("late"))
    assert await one.future is RESULT
    other = entry()
    other.fail(BackendFailed("early"))
    other.answer(RESULT)
    assert str(other.future.exception()) == "early"


async def test_a_caller_that_has_gone_is_left_alone():
    gone = entry()
    gone.future.cancel()
    gone.answer(RESULT)
    gone.fail(BackendFailed("x"))
    gone.forget()
    assert gone.future.cancelled()


async def test_a_forgotten_error_is_not_complained_of():
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    for forgets in (True, False):
        one = entry()
        one.fail(BackendFailed("unread"))
        if forgets:
            one.forget()
        del one
        gc.collect()
        assert bool(complaints) is not forgets


def test_a_fresh_error_says_the_same():
    error = NotReady("no", retry_after_s=3.0)
    copy = fresh(error)
    assert copy is not error
    assert (type(copy), copy.message, copy.retry_after_s) == (NotReady, "no", 3.0)
