"""A thousand items with everything that can happen to them: exactly one right answer each."""

import asyncio
import random
import time

import pytest

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    QueueTimeout,
)
from segserve.execution.backend import never
from segserve.execution.cpu_pool import CpuPool
from segserve.execution.instances import Instances
from segserve.scheduling.policy import QueuePolicy

POISON = -1.0
ITEMS = 1000
FULL = 6  # the seed whose queue is bounded


class FiringBackend:
    """Doubles its input after a while; fails on poison, and now and then for no reason."""

    device = "cpu"
    widens = True

    def __init__(self, chance, *, reentrant):
        self.chance = chance
        self.reentrant = reentrant
        self.inside = 0

    def run(self, inputs, *, wide, stop=never):
        self.inside += 1
        if not self.reentrant:
            assert self.inside == 1
        time.sleep(self.chance.random() * 0.001)
        self.inside -= 1
        x = inputs["x"]
        if (x == POISON).any():
            raise ValueError("poisoned")
        return {"y": x * 2}

    def close(self):
        pass


@pytest.mark.parametrize(
    ("seed", "limits"),
    [
        (1, {}),
        (2, {}),
        (3, {"spread": True, "max_batch_size": 8}),
        (4, {"preferred_batch_sizes": (2, 4), "max_queue_delay_s": 0.002}),
        (FULL, {"spread": True}),
        (5, {"priority_levels": 3, "default_priority": 2, "max_batch_size": 1}),
    ],
)
@pytest.mark.parametrize("reentrant", [True, False])
async def test_exactly_one_right_answer(desk_over, seed, limits, reentrant):
    chance = random.Random(seed)
    pool = CpuPool(2)
    backends = [FiringBackend(chance, reentrant=reentrant) for _ in range(1 if reentrant else 2)]
    bounded = 100 if seed == FULL else 0
    policy = QueuePolicy(max_queue_size=bounded, allow_timeout_override=True, reject=seed % 2 == 0)
    desk = desk_over(Instances(backends, 2, pool), instances=2, default_policy=policy, **limits)
    outcomes = dict.fromkeys(("right", "poisoned", "cancelled", "expired", "full", "wrong"), 0)

    async def ask(number):
        await asyncio.sleep(chance.random() * 0.3)
        poisoned = chance.random() < 0.03
        task = desk.submit(
            POISON if poisoned else float(number),
            number % 5,
            deadline=Deadline.after(0.005) if chance.random() < 0.1 else NO_DEADLINE,
            queue_timeout_us=4000 if chance.random() < 0.1 else 0,
            priority=number % 4,
        )
        if chance.random() < 0.1:
            asyncio.get_running_loop().call_later(chance.random() * 0.01, task.cancel)
        try:
            assert await desk.value(task) == 2.0 * number
            assert not poisoned
            outcomes["right"] += 1
        except asyncio.CancelledError:
            outcomes["cancelled"] += 1
        except Overloaded:
            outcomes["full"] += 1
        except (DeadlineExceeded, QueueTimeout):
            outcomes["expired"] += 1
        except BackendFailed:
            outcomes["poisoned" if poisoned else "wrong"] += 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(n) for n in range(1, ITEMS + 1)))
    assert sum(outcomes.values()) == ITEMS
    assert outcomes["right"] > (0 if bounded else ITEMS // 2), outcomes
    assert (outcomes["full"] > 0) <= bool(bounded)
    assert outcomes["poisoned"] > 0
    assert outcomes["wrong"] == 0
    assert await desk.batcher.drain(1.0)
    assert (desk.batcher.pending(), len(desk.batcher._queues._buckets)) == (0, 0)
    assert pool.idle()
    await desk.batcher.close(NotReady("over"))
    await pool.close()
