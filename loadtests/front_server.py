"""Our gRPC front alone: what a request costs in front of the engine.

``python -m loadtests.front_server [grpcio]`` prints its port and answers ModelInfer through the
server's own transport; in the engine's place stands one that answers at once: model ``head`` with
the first 4 KiB of its input, every other one with its input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

import uvloop

from loadtests.echo_server import HEAD_BYTES
from segserve.core.messages import InferRequest, InferResponse, ModelRef, Timings
from segserve.serving.engine import Engine
from segserve.transport.grpc.front import FrontName, GrpcOptions
from segserve.transport.grpc.server import GrpcServer


class InstantEngine:
    """The part of `Engine` that ModelInfer and the start of a server use."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer with the input, or its head."""
        cut = HEAD_BYTES if request.model.name == "head" else None
        outputs = {name: array[:cut] for name, array in request.inputs.items()}
        return InferResponse(ModelRef(request.model.name, 1), outputs, request.id, Timings())

    def answer_encoded(self, answer: InferResponse, duration_s: float, size_bytes: int) -> None:
        """Nothing is measured."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Nothing changes."""
        return callback

    def ready(self) -> bool:
        """Say so at once."""
        return True


async def _serve(front: FrontName) -> None:
    engine: Any = InstantEngine()
    server = GrpcServer(cast("Engine", engine), GrpcOptions(front))
    print(await server.start(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve("grpcio" if "grpcio" in sys.argv[1:] else "native"))
