"""The metrics port."""

import httpx

from segserve.transport.http.metrics import MetricsServer


async def test_metrics():
    server = MetricsServer(lambda: b"a 1\n", "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await server.start()}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/metrics")
        assert answer.text == "a 1\n"
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert (await client.get("/other")).json()["error"] == "unknown path /other"
    await server.stop(0.1)
