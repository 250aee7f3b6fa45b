"""Timers, with limits of milliseconds."""

import asyncio

import pytest

from segserve.transport.http2.lifetime import Lifetime, LifetimeActions, LifetimeLimits


class Told:
    def __init__(self):
        self.pings, self.retired, self.cuts, self.event = 0, 0, [], asyncio.Event()

    def ping(self):
        self.pings += 1
        self.event.set()

    def retire(self):
        self.retired += 1
        self.event.set()

    def cut(self, why):
        self.cuts.append(why)
        self.event.set()

    async def next(self):
        async with asyncio.timeout(5):
            await self.event.wait()
        self.event.clear()


@pytest.fixture
async def told():
    return Told()


@pytest.fixture
async def lifetime(told):
    made = []

    def make(**limits):
        actions = LifetimeActions(told.ping, told.retire, told.cut)
        made.append(Lifetime(LifetimeLimits(**limits), actions))
        return made[-1]

    yield make
    for one in made:
        one.end()


async def test_no_handshake(told, lifetime):
    lifetime(handshake_s=0.01)
    await told.next()
    assert told.cuts == ["no HTTP/2 preface"]


async def test_silence(told, lifetime):
    lifetime(keepalive_s=0.02, keepalive_timeout_s=0.02).shaken()
    await told.next()
    assert (told.pings, told.cuts) == (1, [])
    await told.next()
    assert told.cuts == ["keepalive ping not answered"]


async def test_whoever_answers_is_kept(told, lifetime):
    one = lifetime(keepalive_s=0.01, keepalive_timeout_s=0.05)
    one.shaken()
    for count in range(1, 4):
        await told.next()
        assert (told.pings, told.cuts) == (count, [])
        one.heard()


async def test_age(told, lifetime):
    lifetime(max_age_s=0.01, max_age_grace_s=0.01)
    await told.next()
    assert (told.retired, told.cuts) == (1, [])
    await told.next()
    assert told.cuts == ["older than allowed"]


async def test_age_without_a_limit_for_calls(told, lifetime):
    lifetime(max_age_s=0.01)
    await told.next()
    await asyncio.sleep(0.03)
    assert (told.retired, told.cuts) == (1, [])


async def test_the_end_stops_all(told, lifetime):
    lifetime(handshake_s=0.01, max_age_s=0.01).end()
    await asyncio.sleep(0.03)
    assert (told.pings, told.retired, told.cuts) == (0, 0, [])
