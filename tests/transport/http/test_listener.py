"""One port."""

import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse

from segserve.core.errors import LoadFailed
from segserve.transport.http.listener import Listener
from segserve.transport.listening import Listen

APP = PlainTextResponse("hello")


async def test_serves_until_it_is_stopped():
    listener = Listener(APP, Listen("127.0.0.1", 0, "tests", "--port"))
    port = await listener.start()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
        assert answer.text == "hello"
        assert "server" not in answer.headers
    await listener.stop(1)
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_a_taken_port_names_what_and_where():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Listen("127.0.0.1", taken.getsockname()[1], "tests", "--port-flag")
        with pytest.raises(LoadFailed, match=r"cannot listen for tests on 127.0.0.1.*--port-flag"):
            await Listener(APP, listen).start()


async def test_leaves_signals_alone():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    listener = Listener(APP, Listen("127.0.0.1", 0, "tests", "--port"))
    await listener.start()
    assert signal.getsignal(signal.SIGTERM) is before
    await listener.stop(1)
