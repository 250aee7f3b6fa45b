"""Blocking work that nobody needs to wait for."""

import asyncio
import threading
import time

import pytest

from segserve.serving.load_threads import LoadThreads


async def test_gives_what_the_work_gives():
    threads = LoadThreads()
    assert await threads.run("m", lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run("m", lambda: 1 // 0)
    assert await threads.wait_ended(1) == ()


async def test_names_what_has_not_ended_and_waits_no_longer_than_told():
    threads, release = LoadThreads(), threading.Event()
    loads = [asyncio.create_task(threads.run(name, release.wait)) for name in ("b", "a", "b")]
    await asyncio.sleep(0.01)
    for load in loads:
        load.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
    start_s = time.monotonic()
    assert await threads.wait_ended(0.05) == ("a", "b")
    assert time.monotonic() - start_s < 1
    release.set()
    assert await threads.wait_ended(5) == ()


async def test_the_interpreter_does_not_wait_for_them():
    threads, release = LoadThreads(), threading.Event()

    def work():
        release.wait()
        return threading.current_thread().daemon

    load = asyncio.create_task(threads.run("m", work))
    await asyncio.sleep(0)
    release.set()
    assert await load is True
