"""Everyone is woken; who goes is forgotten."""

import asyncio

from segserve.transport.http2.waiters import Waiters


async def test_waking():
    waiters = Waiters()
    tasks = [asyncio.create_task(waiters.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(waiters) == 3
    tasks[0].cancel()
    await asyncio.sleep(0)
    waiters.wake()
    waiters.wake()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError, type(None), type(None)]
    assert len(waiters) == 0
