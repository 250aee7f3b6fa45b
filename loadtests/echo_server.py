"""grpcio alone: what a message costs on this machine with nothing behind it.

``python -m loadtests.echo_server`` prints its port. ``Head`` gives back the first 4 KiB of a
message, ``Whole`` all of it.
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

HEAD = "/loadtests.Echo/Head"
WHOLE = "/loadtests.Echo/Whole"
HEAD_BYTES = 4096
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@contextmanager
def running(module: str, *arguments: str) -> Iterator[ServerProcess]:
    """Start a module that prints its gRPC port and serves; end it afterwards."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own program
        try:
            port = process.stdout.readline() if process.stdout else ""
            yield ServerProcess(process.pid, int(port), 0, 0.0)
        finally:
            process.terminate()


async def _head(request: bytes, context: Any) -> bytes:
    del context
    return request[:HEAD_BYTES]


async def _whole(request: bytes, context: Any) -> bytes:
    del context
    return request


async def _serve() -> None:
    server = grpc.aio.server(options=_NO_LIMIT)
    answers = {"Head": _head, "Whole": _whole}
    methods = {n: grpc.unary_unary_rpc_method_handler(answer) for n, answer in answers.items()}
    handler = grpc.method_handlers_generic_handler("loadtests.Echo", methods)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
