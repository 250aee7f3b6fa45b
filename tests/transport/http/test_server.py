"""The HTTP server: port, limits, stopping."""

import asyncio
import socket

import httpx
import pytest

from segserve.core.errors import LoadFailed
from segserve.transport.http.server import HttpOptions, HttpServer

INFER = "/v2/models/echo/infer"


def document(data=(1.0, 2.0), **fields):
    row = {"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return {"inputs": [row], **fields}


async def begun(http, engine):
    """A request that runs until the event beside it is set."""
    release = asyncio.Event()

    async def wait(_ref):
        await release.wait()

    engine._maybe_hang = wait
    asking = asyncio.create_task(http.post(INFER, json=document()))
    await engine.wait_requests()
    return asking, release


async def test_a_taken_port_is_named(engine):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoadFailed, match=f"{port}.*--http-port"):
            await HttpServer(engine, HttpOptions(port=port)).start()


async def test_overload_status(engine):
    server = HttpServer(engine, HttpOptions(overload_status="resource_exhausted"))
    url = f"http://127.0.0.1:{await server.start()}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.post("/v2/models/full/infer", json=document())).status_code == 429
    await server.stop(0.1)


async def test_stopping_lets_requests_finish(http, http_server, engine):
    asking, release = await begun(http, engine)
    stopping = asyncio.create_task(http_server.stop(10))
    await asyncio.sleep(0.3)
    release.set()
    async with asyncio.timeout(10):
        answer = await asking
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        await stopping
    with pytest.raises(httpx.ConnectError):
        await http.get("/v2/health/live")


async def test_a_server_that_drains_is_alive_and_refuses_inference(
    http, http_server, engine, caplog
):
    asking, release = await begun(http, engine)
    draining = asyncio.create_task(http_server.drain(10))
    await asyncio.sleep(0.05)
    assert not draining.done()
    live = await http.get("/v2/health/live")
    assert (live.status_code, live.headers["connection"]) == (200, "close")
    refused = await http.post(INFER, json=document())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["segserve-error-kind"] == "unavailable"
    assert "Server is stopping" in refused.json()["error"]
    (record,) = [r for r in caplog.records if r.message == "request_failed"]
    assert record.method == f"POST {INFER}"
    release.set()
    async with asyncio.timeout(10):
        await draining
    assert (await asking).status_code == 200
    assert (await http.get("/v2/health/live")).status_code == 200, "until it is stopped"


async def test_what_takes_longer_than_the_grace_is_told_to_go_elsewhere(http, http_server, engine):
    asking = asyncio.create_task(http.post("/v2/models/hang/infer", json=document()))
    await engine.wait_requests()
    async with asyncio.timeout(2):
        await http_server.drain(0.05)
        answer = await asking
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert engine.cancelled.is_set()


async def test_stop_before_start(engine):
    await HttpServer(engine, HttpOptions()).stop(1)
