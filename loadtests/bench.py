"""`make bench`: the server against the bare loop, in one run on one machine.

Rounds are interleaved (bare, served at 1, 8, 32, bare, ...) and medians taken, so that a drift of
the machine hits both sides. docs/performance.md says how to read the table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests import echo_server, h2load, payloads
from loadtests.bare import BareLoop, bare_loop
from loadtests.generator import Load, Target, run_load
from loadtests.rows import Row, table, write
from loadtests.server_process import ServerProcess, running_server

CONCURRENCIES = (1, 8, 32)
_LONE_PAIRS = 3  # of bare and lone requests, side by side: the speed drifts within a round
ECHO_BYTES = {"4 B": 4, "60 KB": 60_000, "3 MB": 3_000_000}
INFER_MODELS = {"4 B": "identity", "60 KB": "head", "3 MB": "identity"}
TRITON_OVER_GRPCIO = 2_450 / 2_600
"""Triton's C++ front over grpcio with raw bytes, CPU per request at 3 MB, both measured on one
machine on another day; Triton is not run here, so its cost is taken as this share of grpcio's."""


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Workload:
    """Files to send: images, and requests that carry them."""

    images: Sequence[Path]
    requests: Sequence[Path]


@dataclass(frozen=True)
class Running:
    """The processes that are held against one another."""

    server: ServerProcess
    bare: BareLoop
    front: ServerProcess
    echo: ServerProcess


@dataclass(frozen=True)
class Served:
    """One measurement of the server: what the generator saw, and the server's CPU-seconds."""

    load: Load
    cpu_s: float

    @property
    def per_cpu_s(self) -> float:
        """Answers per CPU-second of the server."""
        return self.load.answered / max(self.cpu_s, 0.01)


class Bench:
    """Everything that is running, and the samples taken so far."""

    def __init__(self, running: Running, plan: Plan) -> None:
        self._server = running.server
        self._bare = running.bare
        self._front = running.front
        self._echo = running.echo
        self._plan = plan
        self.samples: dict[str, list[float]] = defaultdict(list)

    def value(self, name: str) -> float:
        """Median of the samples of one name."""
        return median(self.samples[name])

    def _served(
        self, server: ServerProcess, method: str, bodies: Sequence[Path], concurrency: int
    ) -> Served:
        target = Target(f"127.0.0.1:{server.grpc_port}", method)
        before_s = server.cpu_s()
        load = run_load(target, bodies, concurrency, self._plan.seconds)
        return Served(load, server.cpu_s() - before_s)

    def _segmented(self, bodies: Sequence[Path], concurrency: int) -> Served:
        return self._served(self._server, payloads.SEGMENT, bodies, concurrency)

    def _keep(self, **values: float) -> None:
        for name, value in values.items():
            self.samples[name].append(value)

    def round(self, one: Workload, mixed: Workload, echoes: Mapping[str, Path]) -> None:
        """Take one sample of everything."""
        bare = self._bare.run("throughput", self._plan.seconds)
        self._keep(bare_per_s=bare.per_s, bare_per_cpu_s=bare.per_cpu_s)
        for concurrency in reversed(CONCURRENCIES):
            self._keep_served(f"c{concurrency}", self._segmented(one.requests, concurrency))
        for _ in range(_LONE_PAIRS):
            self._keep(bare_p50_ms=self._bare.run("latency", self._plan.seconds).p50_ms)
            self._keep_h2load(one, 1)
        for concurrency in CONCURRENCIES[1:]:
            self._keep_h2load(one, concurrency)
        self._keep_served("mixed", self._segmented(mixed.requests, 8))
        for name, body in echoes.items():
            whole = INFER_MODELS[name] == "identity"
            sides = {
                "infer": (self._server, payloads.INFER),
                "front": (self._front, payloads.INFER),
                "grpcio": (self._echo, echo_server.WHOLE if whole else echo_server.HEAD),
            }
            for side, (server, method) in sides.items():
                served = self._served(server, method, [body], 8)
                self._keep(**{f"{side}_{name}_us": 1e6 / served.per_cpu_s})

    def _keep_h2load(self, one: Workload, concurrency: int) -> None:
        if h2load.available():
            target = Target(f"127.0.0.1:{self._server.grpc_port}", payloads.SEGMENT)
            requests = max(int(self.value(f"c{concurrency}_per_s") * self._plan.seconds), 32)
            run = h2load.run_h2load(target, one.requests[0], concurrency, requests)
            name = f"h2load_c{concurrency}"
            self._keep(**{f"{name}_per_s": run.per_s, f"{name}_p50_ms": run.p50_ms})

    def _keep_served(self, name: str, served: Served) -> None:
        self._keep(
            **{
                f"{name}_per_s": served.load.per_s,
                f"{name}_per_cpu_s": served.per_cpu_s,
                f"{name}_p50_ms": served.load.p50_ms,
                f"{name}_p99_ms": served.load.p99_ms,
            }
        )

    def row(self, name: str, key: str, unit: str, against: str = "", goal: str = "") -> Row:
        """Give a row from samples; `against` is the key of the baseline."""
        value = self.value(key)
        if not against:
            return Row(name, value, unit, goal=goal)
        baseline = self.value(against)
        return Row(name, value, unit, baseline, value / baseline, goal)

    def rows(self) -> Iterator[Row]:
        """Give all rows, in the order of the table."""
        yield self.row("bare loop, both cores", "bare_per_s", "images/s")
        yield self.row("bare loop, both cores, CPU", "bare_per_cpu_s", "images/CPU-s")
        yield self.row("bare single image, all cores, p50", "bare_p50_ms", "ms")
        for name in ("c8", "c32"):
            what = f"served {name}"
            yield self.row(
                f"{what}, CPU", f"{name}_per_cpu_s", "images/CPU-s", "bare_per_cpu_s", GOAL_CPU
            )
            yield self.row(f"{what}, wall", f"{name}_per_s", "images/s", "bare_per_s")
            if f"h2load_{name}_per_s" in self.samples:
                key = f"h2load_{name}_per_s"
                yield self.row(f"{what}, wall, h2load", key, "images/s", "bare_per_s")
            yield self.row(f"{what}, p50", f"{name}_p50_ms", "ms")
            yield self.row(f"{what}, p99", f"{name}_p99_ms", "ms")
        yield from self._lone_rows()
        yield self.row("mixed sizes c8, wall", "mixed_per_s", "images/s", "c8_per_s", GOAL_MIXED)
        yield self.row("mixed sizes c8, CPU", "mixed_per_cpu_s", "images/CPU-s", "c8_per_cpu_s")
        yield from self._message_rows()

    def _lone_rows(self) -> Iterator[Row]:
        """Give what a lone caller waits; the goal is held without the time of a Python client."""
        against, goals = "bare_p50_ms", [GOAL_LONE]
        if "h2load_c1_p50_ms" in self.samples:
            key = "h2load_c1_p50_ms"
            yield self.row("served c1, p50, h2load", key, "ms", against, goals.pop())
        yield self.row("served c1, p50", "c1_p50_ms", "ms", against, *goals)
        yield self.row("served c1, p99", "c1_p99_ms", "ms")
        yield self.row("served c1, wall", "c1_per_s", "images/s")

    def _message_rows(self) -> Iterator[Row]:
        """Give what a message costs: in front of the engine, and through a model that copies it."""
        us = "us/request"
        answers = {
            "4 B": "4 B in and out",
            "60 KB": "60 KB in, 4 KB out",
            "3 MB": "3 MB in and out",
        }
        for name, what in answers.items():
            goal = GOAL_FRONT if name == "60 KB" else ""
            yield self.row(f"front, {what}, CPU", f"front_{name}_us", us, f"grpcio_{name}_us", goal)
            yield self.row(f"model, {what}, CPU", f"infer_{name}_us", us, f"grpcio_{name}_us")
        triton_us = self.value("grpcio_3 MB_us") * TRITON_OVER_GRPCIO
        per_cpu_s = 1e6 / self.value("front_3 MB_us")
        ratio = per_cpu_s * triton_us / 1e6
        what = "front, 3 MB, over Triton's by way of grpcio"
        yield Row(what, per_cpu_s, "1/CPU-s", 1e6 / triton_us, ratio, "ratio >= 0.7")


GOAL_CPU = "ratio >= 0.85"
GOAL_LONE = "ratio <= 1.25"
GOAL_MIXED = "ratio >= 0.8"
GOAL_FRONT = "ratio <= 1"  # set as 220 us, which is what grpcio alone took on that machine


def _start_rows(repository: Path, request: Path) -> Iterator[Row]:
    """Start a server with one small model twice (the first fills caches), and look at its size."""
    alone = repository.parent / "alone"
    shutil.copytree(repository / payloads.MODEL, alone / payloads.MODEL)
    for _ in range(2):
        with running_server(alone) as server:
            idle_bytes = server.rss_bytes()
            target = Target(f"127.0.0.1:{server.grpc_port}", payloads.SEGMENT)
            first_ms = run_load(target, [request], 1, 0.1).p50_ms
            ready_s = server.ready_s
    yield Row("idle memory, one small model", idle_bytes / 1e6, "MB", goal="value <= 250")
    yield Row("start to first answer", ready_s + first_ms / 1e3, "s", goal="value <= 3")


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"segserve-{name}-") as folder:
        yield Path(folder)


def run(plan: Plan, models: Path) -> list[Row]:
    """Measure everything; `models` is the repository with the demo model."""
    cores = len(os.sched_getaffinity(0))
    with _folder("bench") as folder:
        repository = payloads.write_repository(folder / "models", models)
        one, mixed = (
            _workload(folder / name, sizes, count)
            for name, sizes, count in (
                ("one", payloads.ONE_SIZE_PX, 1),
                ("mixed", payloads.MIXED_SIZES_PX, 1),
            )
        )
        echoes = {
            name: payloads.write_infer_request(folder / f"echo{size}", INFER_MODELS[name], size)
            for name, size in ECHO_BYTES.items()
        }
        rows = list(_start_rows(repository, one.requests[0]))
        with (
            running_server(repository) as server,
            bare_loop(repository / payloads.MODEL, one.images, cores) as bare,
            echo_server.running("loadtests.front_server") as front,
            echo_server.running("loadtests.echo_server") as echo,
        ):
            bench = Bench(Running(server, bare, front, echo), plan)
            for number in range(plan.rounds):
                print(f"round {number + 1} of {plan.rounds}", flush=True)
                bench.round(one, mixed, echoes)
            rows = [*bench.rows(), *rows]
            rows.append(Row("memory after the load", server.rss_bytes() / 1e6, "MB"))
    return rows


def _workload(folder: Path, sizes_px: Sequence[tuple[int, int]], per_size: int) -> Workload:
    images = payloads.write_images(folder, sizes_px, per_size)
    return Workload(images, payloads.write_segment_requests(images))


def main() -> None:
    """Measure, print, and write build/bench/serve.json."""
    parser = argparse.ArgumentParser(description="The server against the bare loop.")
    parser.add_argument("--quick", action="store_true", help="one short round, about 20 s")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--models", type=Path, default=Path("model_repository"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/serve.json"))
    arguments = parser.parse_args()
    plan = Plan(1, 0.7) if arguments.quick else Plan(arguments.rounds, arguments.seconds)
    rows = run(plan, arguments.models)
    print(table(rows))
    write(rows, arguments.out)
    print(f"rows are in {arguments.out}")


if __name__ == "__main__":
    main()
