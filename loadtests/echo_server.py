"""grpcio alone: what a request costs on this machine with no engine behind it.

``python -m loadtests.echo_server`` prints its port and gives back the first 4 KiB of every message.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
import uvloop

from loadtests.server_process import ServerProcess

METHOD = "/loadtests.Echo/Head"
_HEAD_BYTES = 4096


@contextmanager
def running_echo() -> Iterator[ServerProcess]:
    """Start the echo server; end it afterwards."""
    command = [sys.executable, "-m", "loadtests.echo_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own program
        try:
            port = process.stdout.readline() if process.stdout else ""
            yield ServerProcess(process.pid, int(port), 0, 0.0)
        finally:
            process.terminate()


async def _head(request: bytes, context: Any) -> bytes:
    del context
    return request[:_HEAD_BYTES]


async def _serve() -> None:
    server = grpc.aio.server()
    methods = {"Head": grpc.unary_unary_rpc_method_handler(_head)}
    handler = grpc.method_handlers_generic_handler("loadtests.Echo", methods)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
