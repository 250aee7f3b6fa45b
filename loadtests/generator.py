"""A closed-loop gRPC load generator, run as a process of its own.

``python -m loadtests.generator --target 127.0.0.1:8001 --method /pkg.Service/Method
--concurrency 8 --seconds 5 BODY...`` sends the messages in the files BODY in turn, each worker
waiting for its answer before it sends the next, and prints one JSON object: `Load`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import grpc.aio

_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Load:
    """What came of one run: `answered` requests in `wall_s` seconds, latencies in milliseconds.

    The first failure ends the run.
    """

    answered: int
    failed: int
    wall_s: float
    p50_ms: float
    p99_ms: float
    first_error: str = ""

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.wall_s


@dataclass(frozen=True)
class Target:
    """Where requests go: ``host:port`` and the full method name."""

    address: str
    method: str


def run_load(target: Target, bodies: Sequence[Path], concurrency: int, seconds: float) -> Load:
    """Run the generator in a child process.

    Raises
    ------
    RuntimeError
        When a request failed: a rate over failing requests says nothing.
    """
    done = subprocess.run(  # noqa: S603  our own program
        [
            *(sys.executable, "-m", "loadtests.generator", "--target", target.address),
            *("--method", target.method, "--concurrency", str(concurrency)),
            *("--seconds", str(seconds), *map(str, bodies)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    load = Load(**json.loads(done.stdout))
    if load.failed or not load.answered:
        raise RuntimeError(f"{load.failed} requests failed, {load.answered} did not: {load}")
    return load


async def _drive(arguments: argparse.Namespace, bodies: Sequence[bytes]) -> Load:
    latencies_s: list[float] = []
    errors: list[str] = []
    async with grpc.aio.insecure_channel(arguments.target, options=_NO_LIMIT) as channel:
        call = channel.unary_unary(arguments.method, None, None)

        async def send(body: bytes, into_s: list[float]) -> None:
            sent_s = time.perf_counter()
            try:
                await call(body)
            except grpc.aio.AioRpcError as error:
                errors.append(f"{error.code().name}: {error.details()}")
            else:
                into_s.append(time.perf_counter() - sent_s)

        for body in bodies:
            await send(body, [])
        start_s = time.perf_counter()

        async def worker(at: int) -> None:
            while time.perf_counter() < start_s + arguments.seconds and not errors:
                await send(bodies[at % len(bodies)], latencies_s)
                at += 1

        await asyncio.gather(*(worker(n) for n in range(arguments.concurrency)))
        wall_s = time.perf_counter() - start_s
    latencies_s.sort()

    def quantile_ms(q: float) -> float:
        return latencies_s[int(q * (len(latencies_s) - 1))] * 1e3 if latencies_s else 0.0

    return Load(
        len(latencies_s),
        len(errors),
        wall_s,
        quantile_ms(0.5),
        quantile_ms(0.99),
        errors[0] if errors else "",
    )


def main() -> None:
    """Send, and print what came of it."""
    parser = argparse.ArgumentParser(description="Closed-loop gRPC load.")
    parser.add_argument("--target", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("bodies", nargs="+")
    arguments = parser.parse_args()
    bodies = [Path(name).read_bytes() for name in arguments.bodies]
    print(json.dumps(asdict(asyncio.run(_drive(arguments, bodies)))))


if __name__ == "__main__":
    main()
