"""Tickets are released in order."""

import asyncio
import itertools

import pytest

from segserve.core.errors import BackendFailed, Overloaded
from segserve.scheduling.ordering import Ordering


class Requests:
    """Requests of an ordering; each ends when it is told to."""

    def __init__(self):
        self.ordering, self.ended, self.gates = Ordering(), [], {}

    def start(self, name):
        self.gates[name] = asyncio.get_running_loop().create_future()

        async def ask():
            try:
                return await self.ordering.in_turn(self._work, name)
            finally:
                self.ended.append(name)

        return asyncio.create_task(ask())

    async def _work(self, name):
        return await self.gates[name]

    @staticmethod
    async def settle():
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("ends", list(itertools.permutations("abcd")))
async def test_answers_are_let_out_in_order(ends):
    requests = Requests()
    tasks = [requests.start(name) for name in "abcd"]
    await requests.settle()
    for count, name in enumerate(ends, 1):
        requests.gates[name].set_result(name)
        await requests.settle()
        out = next((n for n, one in enumerate("abcd") if one not in ends[:count]), 4)
        assert requests.ended == list("abcd"[:out])
    assert await asyncio.gather(*tasks) == list("abcd")


async def test_what_is_ready_in_the_same_moment_does_not_overtake_what_has_to_be_woken():
    requests = Requests()
    tasks = [requests.start(name) for name in "abc"]
    await requests.settle()
    requests.gates["b"].set_result("b")
    await requests.settle()
    requests.gates["a"].set_result("a")
    requests.gates["c"].set_result("c")
    await asyncio.gather(*tasks)
    assert requests.ended == ["a", "b", "c"]


@pytest.mark.parametrize("end", ["refused", "failed", "cancelled", "crashed"])
async def test_nobody_hangs_behind_what_has_no_answer(end):
    requests = Requests()
    first, second = requests.start("a"), requests.start("b")
    await requests.settle()
    requests.gates["b"].set_result("b")
    await requests.settle()
    assert not second.done()
    errors = {"refused": Overloaded("full"), "failed": BackendFailed("no"), "crashed": KeyError()}
    if end in errors:
        requests.gates["a"].set_exception(errors[end])
    else:
        first.cancel()
    async with asyncio.timeout(1):
        assert await second == "b"
    await asyncio.wait([first])
    assert first.cancelled() or first.exception() is errors[end]


@pytest.mark.parametrize(
    ("error", "held"), [(Overloaded("full"), False), (BackendFailed("no"), True)]
)
async def test_refusals_are_not_held_back_and_failures_of_a_run_are(error, held):
    requests = Requests()
    first, second = requests.start("a"), requests.start("b")
    await requests.settle()
    requests.gates["b"].set_exception(error)
    await requests.settle()
    assert second.done() is not held
    requests.gates["a"].set_result("a")
    assert await first == "a"
    with pytest.raises(type(error)):
        await second


async def test_who_leaves_while_waiting_for_its_turn_holds_nobody_up():
    requests = Requests()
    tasks = [requests.start(name) for name in "abc"]
    await requests.settle()
    for name in "bc":
        requests.gates[name].set_result(name)
    await requests.settle()
    tasks[1].cancel()
    requests.gates["a"].set_result("a")
    async with asyncio.timeout(1):
        assert (await tasks[0], await tasks[2]) == ("a", "c")
    assert not requests.ordering._places
