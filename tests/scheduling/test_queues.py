"""What waits, by itself."""

import asyncio
import time

import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded, NotReady, Overloaded, QueueTimeout
from segserve.scheduling.item import Item
from segserve.scheduling.policy import BatchLimits, QueuePolicy, Waiting
from segserve.scheduling.queues import BucketQueues


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


async def test_sums_up_and_takes_first_come_first_served(loop):
    queues = BucketQueues(BatchLimits(4))
    first, second, third = (queues.add(Item({}, "a"), loop) for _ in range(3))
    other = queues.add(Item({}, "b"), loop)
    assert queues.waiting() == [
        Waiting("a", 3, 2, first.enqueued_s),
        Waiting("b", 1, 2, other.enqueued_s),
    ]
    assert queues.take("a", 2) == [first, second]
    assert queues.take("a", 2) == [third]
    assert first.taken
    assert not other.taken
    assert [w.bucket for w in queues.waiting()] == ["b"]
    assert len(queues) == 1


async def test_takes_better_levels_first(loop):
    queues = BucketQueues(BatchLimits(4, priority_levels=3, default_priority=2))
    middle, low, high = (queues.add(Item({}, "a", priority=p), loop) for p in (0, 3, 1))
    assert queues.waiting() == [Waiting("a", 3, 2, high.enqueued_s)]
    assert queues.take("a", 3) == [high, middle, low]


async def test_a_place_is_free_however_its_item_left(loop):
    queues = BucketQueues(BatchLimits(4, default_policy=QueuePolicy(max_queue_size=1)))
    for leave in (
        queues.discard,
        lambda entry: queues.take("a", 1),
        lambda entry: queues.fail_all(NotReady("gone")),
    ):
        entry = queues.add(Item({}, "a"), loop)
        with pytest.raises(Overloaded, match="1 items wait, max_queue_size is 1"):
            queues.add(Item({}, "a"), loop)
        leave(entry)
        entry.forget()
        assert len(queues) == 0
        queues.discard(entry)
        assert queues.waiting() == []


async def test_a_delayed_item_still_has_its_place(loop):
    policy = QueuePolicy(reject=False, default_timeout_us=1000, max_queue_size=1)
    queues = BucketQueues(BatchLimits(4, default_policy=policy))
    delayed = queues.add(Item({}, "a"), loop)
    await asyncio.sleep(0.02)
    assert queues.waiting() == [Waiting("a", 1, 3, delayed.enqueued_s)]
    with pytest.raises(Overloaded):
        queues.add(Item({}, "a"), loop)
    assert queues.take("a", 1) == [delayed]


async def test_a_delayed_item_still_has_a_deadline(loop):
    policy = QueuePolicy(reject=False, default_timeout_us=1000)
    queues = BucketQueues(BatchLimits(4, default_policy=policy))
    entry = queues.add(Item({}, "a", deadline=Deadline.after(0.01)), loop)
    with pytest.raises(DeadlineExceeded):
        await entry.future
    assert len(queues) == 0


async def test_a_queue_timeout_says_how_long_it_was(loop):
    queues = BucketQueues(BatchLimits(4, default_policy=QueuePolicy(default_timeout_us=2000)))
    with pytest.raises(QueueTimeout, match=r"Request timeout expired after 0\.0\d\d s"):
        await queues.add(Item({}, "a"), loop).future


async def test_a_deadline_that_has_passed_is_not_queued(loop):
    queues = BucketQueues(BatchLimits(4))
    with pytest.raises(DeadlineExceeded):
        queues.add(Item({}, "a", deadline=Deadline.after(-1)), loop)
    assert queues.waiting() == []


async def test_what_is_late_is_not_taken_even_before_its_timer_came_round(loop):
    queues = BucketQueues(BatchLimits(4))
    late = queues.add(Item({}, "a", deadline=Deadline.after(0.005)), loop)
    live = queues.add(Item({}, "a"), loop)
    time.sleep(0.01)  # noqa: ASYNC251  the loop is busy, no timer runs
    assert queues.take("a", 2) == [live]
    with pytest.raises(DeadlineExceeded):
        await late.future


async def test_too_many_shapes(loop):
    queues = BucketQueues(BatchLimits(4, max_buckets=2))
    entries = [queues.add(Item({}, n), loop) for n in (1, 2, 1)]
    with pytest.raises(Overloaded, match="2 different shapes"):
        queues.add(Item({}, 3), loop)
    queues.discard(entries[1])
    assert queues.add(Item({}, 3), loop).item.bucket == 3


async def test_without_levels_bulk_items_wait_behind_others_until_their_patience_is_over(loop):
    queues = BucketQueues(BatchLimits(1, patience_s=0.02))
    bulk, usual = queues.add(Item({}, "a", priority=2), loop), queues.add(Item({}, "a"), loop)
    assert queues.take("a", 1) == [usual]
    await asyncio.sleep(0.05)
    late = queues.add(Item({}, "a", priority=1), loop)
    assert queues.waiting() == [Waiting("a", 2, 2, bulk.enqueued_s)]
    assert queues.take("a", 2) == [bulk, late]
    assert len(queues) == 0


async def test_a_bulk_item_that_left_does_not_rise(loop):
    queues = BucketQueues(BatchLimits(1, patience_s=0.01))
    gone = queues.add(Item({}, "a", priority=9), loop)
    queues.discard(gone)
    await asyncio.sleep(0.03)
    assert queues.waiting() == []
