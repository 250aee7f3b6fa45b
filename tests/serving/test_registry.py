"""Leases, replacing, unloading, and what callers are told meanwhile."""

import asyncio
from types import SimpleNamespace

import pytest

from segserve.core.errors import NotFound, NotReady
from segserve.core.messages import ModelRef
from segserve.serving.registry import Registry


class FakeServed:
    def __init__(self, name, version):
        self.parts = SimpleNamespace(ref=ModelRef(name, version))
        self.closed = False

    async def close(self, reason, timeout_s):
        self.closed = True


def states(registry):
    return {(row.name, row.version): row.state for row in registry.index()}


def test_the_newest_ready_version_serves_unless_one_is_named():
    registry = Registry(1.0)
    one, two = FakeServed("m", 1), FakeServed("m", 2)
    registry.publish(one)
    registry.publish(two)
    registry.loading("m", 3)
    assert registry.get(ModelRef("m")) is two
    assert registry.get(ModelRef("m", 1)) is one
    with pytest.raises(NotReady, match="version 3 is not at ready state"):
        registry.get(ModelRef("m", 3))
    with pytest.raises(NotFound, match=r"version 9 is not found; versions are \[1, 2, 3\]"):
        registry.get(ModelRef("m", 9))
    with pytest.raises(NotFound, match="Request for unknown model: 'n' is not found"):
        registry.get(ModelRef("n"))
    assert states(registry) == {("m", "1"): "READY", ("m", "2"): "READY", ("m", "3"): "LOADING"}


@pytest.mark.parametrize("version", [None, 1])
def test_callers_of_what_is_being_loaded_are_told_when_to_come_back(version):
    registry = Registry(1.0)
    registry.known("m")
    with registry.awaiting("m"), registry.awaiting("m"):
        with pytest.raises(NotReady, match="it is being loaded") as caught:  # it waits for its turn
            registry.get(ModelRef("m"))
        assert caught.value.retry_after_s == 1.0
        registry.loading("m", 1)
        with pytest.raises(NotReady, match="it is being loaded") as caught:
            registry.get(ModelRef("m", version))
        assert caught.value.retry_after_s == 1.0
    registry.failed("m", 1, "broken")
    with pytest.raises(NotReady) as caught:
        registry.get(ModelRef("m", version))
    assert caught.value.retry_after_s is None
    assert caught.value.message.endswith(": broken")


def test_a_model_that_failed_before_its_versions_were_known_says_why():
    registry = Registry(1.0)
    registry.failed("m", None, "no config")
    for version, text in ((None, "has no available versions"), (1, "version 1 is not at ready")):
        with pytest.raises(NotReady, match=rf"'m' {text}.*: no config$"):
            registry.get(ModelRef("m", version))


def test_nothing_is_missing_before_the_repository_was_looked_at():
    registry = Registry(1.0)
    registry.listed(known=False)
    with pytest.raises(NotReady, match="the server is starting") as caught:
        registry.get(ModelRef("m"))
    assert caught.value.retry_after_s == 1.0
    registry.listed(known=True)
    with pytest.raises(NotFound):
        registry.get(ModelRef("m"))


async def test_a_replaced_version_ends_its_requests_before_it_is_closed():
    registry = Registry(5.0)
    old, new = FakeServed("m", 1), FakeServed("m", 1)
    registry.publish(old)
    with registry.acquire(ModelRef("m")) as leased:
        registry.publish(new)
        await asyncio.sleep(0.02)
        assert leased is old
        assert not old.closed
        assert registry.get(ModelRef("m")) is new
    await asyncio.sleep(0.02)
    assert old.closed
    assert not new.closed


async def test_unloading_waits_for_leases_but_not_for_ever():
    registry = Registry(0.05)
    served = FakeServed("m", 1)
    registry.publish(served)
    with registry.acquire(ModelRef("m")):
        removal = asyncio.create_task(registry.remove("m", 1))
        await asyncio.sleep(0.01)
        assert states(registry) == {("m", "1"): "UNLOADING"}
        with pytest.raises(NotReady):
            registry.get(ModelRef("m"))
        await removal
    assert served.closed
    assert [(r.state, r.reason) for r in registry.index()] == [("UNAVAILABLE", "unloaded")]


def test_a_failed_load_leaves_what_serves_alone():
    registry = Registry(1.0)
    served = FakeServed("m", 1)
    registry.publish(served)
    registry.failed("m", 1, "broken file")
    assert registry.get(ModelRef("m")) is served
    registry.failed("n", None, "no config")
    registry.failed("o", 4, "no file")
    assert states(registry) == {
        ("m", "1"): "READY",
        ("n", ""): "UNAVAILABLE",
        ("o", "4"): "UNAVAILABLE",
    }
    with pytest.raises(NotReady):
        registry.get(ModelRef("n"))


def test_find_does_not_fail():
    registry = Registry(1.0)
    served = FakeServed("m", 2)
    registry.publish(served)
    registry.loading("m", 3)
    assert registry.find(ModelRef("m", 2)) is served
    assert registry.find(ModelRef("m", 3)) is None
    assert registry.find(ModelRef("n", 1)) is None


def test_subscribers_hear_of_changes_until_they_leave():
    registry = Registry(1.0)
    heard = []
    leave = registry.subscribe(lambda: heard.append(1))
    registry.publish(FakeServed("m", 1))
    leave()
    registry.publish(FakeServed("m", 2))
    assert heard == [1]


async def test_close_closes_everything():
    registry = Registry(1.0)
    all_served = [FakeServed("m", 1), FakeServed("m", 2), FakeServed("n", 1)]
    for served in all_served:
        registry.publish(served)
    await registry.close()
    assert all(served.closed for served in all_served)


def test_forgotten_and_known_names():
    registry = Registry(1.0)
    registry.known("m")
    assert states(registry) == {("m", ""): ""}
    registry.forget("m")
    assert registry.index() == ()
