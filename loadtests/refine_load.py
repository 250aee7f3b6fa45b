"""`make bench-refine`: what refining clients cost those that refine nothing.

Six clients without refinement are measured alone, then with two refining clients beside them, in
turn, and medians taken over the rounds. The model is held to one core: ``--cpu-threads 1`` is one
thread for it, which is bound to the first core. Everything else is bound to the others: the CRF's
thread, the event loop, the load generators. ``--unbound`` leaves all where the operating system
puts them. What two clients cost that ask for the same pictures as often and refine *nothing*, a
third measurement of each round tells.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests import payloads
from loadtests.generator import Load, Target, run_load
from loadtests.rows import Row, table, write
from loadtests.server_process import ServerProcess, running_server
from segserve.client import Client, Refine, SegmentOptions

PLAIN, REFINING = 6, 2
_MODEL_THREAD = "segserve-cpu-"
LARGE_PX = ((1024, 768),)
_SETTLE_S = 0.5
_GOALS = ("ratio >= 0.9", "ratio <= 1.11")


@dataclass(frozen=True)
class Plan:
    """How long to measure, and what a refinement may take."""

    rounds: int
    seconds: float
    budget_ms: float
    bound: bool = True


@dataclass(frozen=True)
class Refined:
    """One answer to a refining client: how long it took, and what the server said of it."""

    latency_ms: float
    last_step_ms: float
    refined: bool


def _refining(plan: Plan) -> SegmentOptions:
    return SegmentOptions(refine=Refine.DENSE_CRF, parameters={"crf_max_ms": f"{plan.budget_ms:g}"})


@contextmanager
def _two_more(
    server: ServerProcess, image: Path, wanted: SegmentOptions, period_s: float = 0.0
) -> Iterator[list[Refined]]:
    """Let two more clients run, each asking once in a period; the list fills with their answers."""
    answers: list[Refined] = []
    ended = threading.Event()

    def client() -> None:
        with Client(f"127.0.0.1:{server.grpc_port}") as connection:
            while not ended.is_set():
                start_s = time.perf_counter()
                result = connection.segment(image, payloads.MODEL, wanted)
                latency_ms = (time.perf_counter() - start_s) * 1e3
                last_step_ms = result.timings.post_s * 1e3
                answers.append(Refined(latency_ms, last_step_ms, bool(result.refined)))
                ended.wait(max(0.0, period_s - latency_ms * 1e-3))

    threads = [threading.Thread(target=client) for _ in range(REFINING)]
    for thread in threads:
        thread.start()
    time.sleep(_SETTLE_S)
    answers.clear()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _plain(server: ServerProcess, body: Path, plan: Plan) -> Load:
    target = Target(f"127.0.0.1:{server.grpc_port}", payloads.SEGMENT)
    return run_load(target, [body], PLAIN, plan.seconds)


def run(plan: Plan, models: Path) -> list[Row]:
    """Measure; `models` is the repository with the demo model."""
    samples: dict[str, list[float]] = defaultdict(list)
    answers: list[Refined] = []
    with tempfile.TemporaryDirectory(prefix="segserve-refine-") as name:
        folder = Path(name)
        repository = payloads.write_repository(folder / "models", models)
        small = payloads.write_images(folder / "small", payloads.ONE_SIZE_PX, 1)
        (image,) = payloads.write_images(folder / "large", LARGE_PX, 1)
        (body,) = payloads.write_segment_requests(small)
        with running_server(repository, "--cpu-threads", "1") as server:
            if plan.bound:
                _bind(server.pid)
            _plain(server, body, plan)  # what is slow at first is not measured
            for number in range(plan.rounds):
                print(f"round {number + 1} of {plan.rounds}", flush=True)
                _keep(samples, "alone", _plain(server, body, plan))
                with _two_more(server, image, _refining(plan)) as more:
                    _keep(samples, "beside", _plain(server, body, plan))
                answers += more
                period_s = REFINING * plan.seconds / max(len(more), 1)
                with _two_more(server, image, SegmentOptions(), period_s):
                    _keep(samples, "unrefined", _plain(server, body, plan))
    return _rows({key: median(values) for key, values in samples.items()}, answers, plan)


def _bind(server_pid: int) -> None:
    """Give the model's thread the first core, and the others to all else, this process too."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise SystemExit("one core: the model and the CRF cannot have one each (see --unbound)")
    for task in Path(f"/proc/{server_pid}/task").iterdir():
        name = (task / "comm").read_text()
        os.sched_setaffinity(int(task.name), {first} if name.startswith(_MODEL_THREAD) else others)
    os.sched_setaffinity(0, others)


def _keep(samples: dict[str, list[float]], name: str, load: Load) -> None:
    samples[f"{name}_per_s"].append(load.per_s)
    samples[f"{name}_p99_ms"].append(load.p99_ms)


def _rows(medians: dict[str, float], answers: list[Refined], plan: Plan) -> list[Row]:
    refined = [a for a in answers if a.refined]
    honest = [a for a in refined if a.last_step_ms <= plan.budget_ms]
    kept = len(answers) - len(refined) + len(honest)
    rate = len(answers) / (plan.rounds * plan.seconds)
    share = 100 / max(len(answers), 1)
    return [
        *_six(f"{PLAIN} plain clients beside {REFINING} refining ones", medians, "beside", _GOALS),
        *_six("the same beside two that refine nothing as often", medians, "unrefined"),
        Row("refining clients, answers", rate, "1/s"),
        Row("refining clients, refined", share * len(refined), "%"),
        Row("refining clients, p50", median(a.latency_ms for a in answers), "ms"),
        Row("refining clients, last step, longest", max(a.last_step_ms for a in answers), "ms"),
        Row("refined in the budget or flagged", share * kept, "%", goal="value >= 100"),
    ]


def _six(
    who: str, medians: dict[str, float], name: str, goals: tuple[str, str] = ("", "")
) -> list[Row]:
    """Give how the six fared, against themselves alone."""
    rows = []
    for what, key, unit, goal in (
        ("throughput", "per_s", "images/s", goals[0]),
        ("p99", "p99_ms", "ms", goals[1]),
    ):
        value, alone = medians[f"{name}_{key}"], medians[f"alone_{key}"]
        rows.append(Row(f"{who}, {what}", value, unit, alone, value / alone, goal))
    return rows


def main() -> None:
    """Measure, print, and write build/bench/refine.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument(
        "--budget-ms",
        type=float,
        default=1000.0,
        help="of a refinement; as the server takes where a request names none",
    )
    parser.add_argument(
        "--unbound", action="store_true", help="threads run where the operating system puts them"
    )
    parser.add_argument("--models", type=Path, default=Path("model_repository"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/refine.json"))
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (arguments.rounds, arguments.seconds)
    plan = Plan(rounds, seconds, arguments.budget_ms, bound=not arguments.unbound)
    rows = run(plan, arguments.models)
    print(table(rows))
    write(rows, arguments.out)
    print(f"rows are in {arguments.out}")


if __name__ == "__main__":
    main()
