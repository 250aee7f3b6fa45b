"""The pool answers everybody, keeps to its budget, and ends work before starting more."""

import asyncio
import gc
import threading
import time
import weakref
from functools import partial

import pytest

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded, ShuttingDown
from segserve.execution import cpu_pool
from segserve.execution.cpu_pool import CpuPool, Priority


@pytest.fixture
async def pool():
    made = CpuPool(2)
    yield made
    await made.close()


async def test_results_and_exceptions_come_back(pool):
    assert await pool.run(lambda: 7, priority=Priority.RUN) == 7
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0, priority=Priority.RUN)
    assert pool.idle()


async def test_never_more_at_a_time_than_tokens(pool):
    running, most = 0, 0
    lock = threading.Lock()

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(work, priority=Priority.PRE) for _ in range(12)))
    assert most == 2
    most = 0
    await asyncio.gather(*(pool.run(work, priority=Priority.RUN, tokens=2) for _ in range(4)))
    assert most == 1


async def gated(pool):
    """Fill the pool; gives the gate and the task."""
    gate = threading.Event()
    task = asyncio.ensure_future(pool.run(gate.wait, priority=Priority.RUN, tokens=2))
    await asyncio.sleep(0.01)
    return gate, task


async def test_it_is_pressed_while_no_token_is_free_and_a_moment_longer(pool, monkeypatch):
    assert not pool.pressed()
    half = threading.Event()
    one = asyncio.ensure_future(pool.run(half.wait, priority=Priority.RUN))
    await asyncio.sleep(0.01)
    assert not pool.pressed()
    half.set()
    await one
    gate, blocker = await gated(pool)
    assert pool.pressed()
    gate.set()
    await blocker
    assert pool.pressed()
    assert pool.idle()
    monkeypatch.setattr(cpu_pool, "_MOMENT_S", 0.0)
    assert not pool.pressed()


async def test_finishing_goes_before_running_goes_before_preparing(pool):
    gate, blocker = await gated(pool)
    order = []
    tasks = [
        asyncio.ensure_future(pool.run(lambda p=p: order.append(p), priority=p, tokens=2))
        for p in (Priority.PRE, Priority.RUN, Priority.POST, Priority.PRE)
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(blocker, *tasks)
    assert order == [Priority.POST, Priority.RUN, Priority.PRE, Priority.PRE]


async def test_a_cancelled_waiter_gives_its_place_back(pool):
    gate, blocker = await gated(pool)
    ran = []
    gone = asyncio.ensure_future(pool.run(lambda: ran.append(1), priority=Priority.POST, tokens=2))
    stays = asyncio.ensure_future(pool.run(lambda: ran.append(2), priority=Priority.PRE))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.set()
    await asyncio.gather(blocker, stays)
    assert ran == [2]
    assert pool.idle()


async def test_a_caller_cancelled_while_running_frees_its_tokens_at_the_end(pool):
    gate, blocker = await gated(pool)
    blocker.cancel()
    await asyncio.gather(blocker, return_exceptions=True)
    assert not pool.idle()
    gate.set()
    assert await pool.run(lambda: 3, priority=Priority.PRE, tokens=2) == 3


async def test_an_expired_waiter_costs_nothing(pool):
    gate, blocker = await gated(pool)
    ran = []
    late = asyncio.ensure_future(
        pool.run(lambda: ran.append(1), priority=Priority.PRE, deadline=Deadline.after(0.01))
    )
    await asyncio.sleep(0.03)
    gate.set()
    with pytest.raises(DeadlineExceeded):
        await late
    await blocker
    assert ran == []


async def test_close_answers_waiters_and_lets_work_end():
    pool = CpuPool(1)
    gate, blocker = await gated(pool)
    waiter = asyncio.ensure_future(pool.run(lambda: 1, priority=Priority.PRE))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.02, gate.set)
    await pool.close()
    with pytest.raises(ShuttingDown):
        await waiter
    assert await blocker is True
    with pytest.raises(ShuttingDown):
        await pool.run(lambda: 1, priority=Priority.PRE)


async def test_even_what_no_future_can_carry_is_answered(pool):
    def stop():
        raise StopIteration

    def leave():
        raise asyncio.CancelledError("raised, not cancelled")

    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(stop, priority=Priority.RUN)
    with pytest.raises(asyncio.CancelledError):
        await pool.run(leave, priority=Priority.RUN)
    assert await pool.run(lambda: 5, priority=Priority.RUN, tokens=2) == 5


async def test_nothing_is_kept_of_work_that_has_ended(pool):
    class Big:
        pass

    seen = weakref.ref(await pool.run(Big, priority=Priority.RUN))
    gc.collect()
    async with asyncio.timeout(5):  # its thread tells the loop first, and then forgets it
        while seen() is not None:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.002)


async def test_wide_work_is_not_starved_by_a_stream_of_narrow_work(pool):
    stop = False

    async def stream():
        while not stop:
            await pool.run(lambda: time.sleep(0.001), priority=Priority.RUN)

    streams = [asyncio.create_task(stream()) for _ in range(4)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        await pool.run(lambda: None, priority=Priority.RUN, tokens=2)
    stop = True
    await asyncio.gather(*streams)


async def test_closing_twice_is_closing(pool):
    await pool.close()
    await pool.close()


async def test_many_small_works_from_many_tasks(pool):
    results = await asyncio.gather(
        *(pool.run(lambda n=n: n * n, priority=Priority(n % 3)) for n in range(500))
    )
    assert results == [n * n for n in range(500)]
    assert pool.idle()


async def order_of(pool, kinds):
    """Let bulk (True) and interactive work wait in this order; gives the order of starts."""
    gate, blocker = await gated(pool)
    order = []
    tasks = [
        asyncio.ensure_future(
            pool.run(lambda b=bulk: order.append(b), priority=Priority.PRE, tokens=2, bulk=bulk)
        )
        for bulk in kinds
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(blocker, *tasks)
    return order


async def test_interactive_work_goes_before_bulk_work_whatever_its_step(pool):
    assert await order_of(pool, [True, True, False, False]) == [False, False, True, True]
    gate, blocker = await gated(pool)
    order = []
    post = pool.run(lambda: order.append("post"), priority=Priority.POST, tokens=2, bulk=True)
    pre = pool.run(lambda: order.append("pre"), priority=Priority.PRE, tokens=2)
    tasks = [post, pre]
    await asyncio.sleep(0)
    assert pool.waiting()["bulk", "post"] == pool.waiting()["interactive", "pre"] == 1
    gate.set()
    await asyncio.gather(blocker, *tasks)
    assert order == ["pre", "post"]
    assert not any(pool.waiting().values())


async def test_bulk_work_never_starves(pool):
    order = await order_of(pool, [True, True] + [False] * 20)
    assert [n for n, bulk in enumerate(order) if bulk] == [7, 15]


async def test_long_work_leaves_a_core_to_the_rest(pool):
    gates = [threading.Event() for _ in range(2)]
    begun = [threading.Event() for _ in range(2)]

    def long(number):
        begun[number].set()
        gates[number].wait(10)

    longs = [
        asyncio.ensure_future(pool.run(partial(long, n), priority=Priority.RUN, long=True))
        for n in range(2)
    ]
    assert await asyncio.to_thread(begun[0].wait, 10)
    late = pool.run(int, priority=Priority.RUN, long=True, deadline=Deadline.after(-1))
    with pytest.raises(DeadlineExceeded):
        await late
    for priority in (Priority.RUN, Priority.PRE):  # behind the second, and yet at once
        assert await pool.run(lambda: 7, priority=priority) == 7
    assert pool.spare()
    assert not begun[1].is_set()
    gates[0].set()
    assert await asyncio.to_thread(begun[1].wait, 10)
    gates[1].set()
    await asyncio.gather(*longs)
    assert pool.idle()


async def test_long_work_has_the_only_core():
    pool = CpuPool(1)
    assert await pool.run(lambda: 7, priority=Priority.RUN, long=True) == 7
    await pool.close()


async def test_poison_costs_no_thread(pool):
    def poison(error):
        raise error

    def endless(itself):
        return itself(itself)

    before = threading.active_count()
    for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()):
        for _ in range(3):
            with pytest.raises(type(error)):
                await pool.run(lambda e=error: poison(e), priority=Priority.RUN)
    with pytest.raises(RecursionError):
        await pool.run(lambda: endless(endless), priority=Priority.RUN)
    assert threading.active_count() == before
    both = threading.Barrier(2, timeout=5)
    await asyncio.gather(*(pool.run(both.wait, priority=Priority.RUN) for _ in range(2)))
