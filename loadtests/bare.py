"""The bare loop: decode, model, masks with our own kernels, and no server around them.

Run as a process of its own, so that its CPU can be counted: it reads ``throughput SECONDS`` or
``latency SECONDS`` from stdin, line by line, and answers each with one JSON object, `Bare`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from segserve.core.messages import EncodedImage
from segserve.core.options import DEFAULT_OPTIONS
from segserve.core.tensor import Array
from segserve.execution.onnx_settings import OnnxOptions, session_options
from segserve.families.factory import build_family
from segserve.families.family import Family
from segserve.repository.labels import read_labels
from segserve.repository.pbtxt import parse_config

_SWITCH_S = 5e-4  # as the server


@dataclass(frozen=True)
class Bare:
    """Images done in `wall_s` seconds with `cpu_s` CPU-seconds; `p50_ms` of one image."""

    images: int
    wall_s: float
    cpu_s: float
    p50_ms: float

    @property
    def per_s(self) -> float:
        """Images a second."""
        return self.images / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Images per CPU-second."""
        return self.images / self.cpu_s


class BareLoop:
    """The parent's end of the child process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, what: str, seconds: float) -> Bare:
        """Run ``throughput`` (a thread a core) or ``latency`` (one thread, an all-core session)."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the bare loop has no pipes")
        self._process.stdin.write(f"{what} {seconds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the bare loop ended; its error is above")
        return Bare(**json.loads(line))


@contextmanager
def bare_loop(model: Path, images: Sequence[Path], cores: int) -> Iterator[BareLoop]:
    """Start the loop over a model's folder of the repository; end it afterwards."""
    command = [sys.executable, "-m", "loadtests.bare", "--model", str(model), "--cores", str(cores)]
    with subprocess.Popen(  # noqa: S603  our own program
        [*command, *map(str, images)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield BareLoop(process)
        finally:
            process.terminate()


class _Pipeline:
    """One image after another through one session."""

    def __init__(self, model: Path, images: Sequence[bytes], threads: int) -> None:
        config = parse_config((model / "config.pbtxt").read_text(), source="config.pbtxt")
        labels = read_labels(model / "labels.txt")
        family = build_family(
            config.parameters, labels, config.input_specs(), config.output_specs()
        )
        if family is None:
            raise RuntimeError(f"{model} has no family")
        self._family: Family = family
        self._images = images
        options = session_options(onnxruntime, OnnxOptions(cores=threads), threads)  # the server's
        self._session = onnxruntime.InferenceSession(
            str(model / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, number: int, buffers: dict[tuple[int, ...], dict[str, Array]]) -> None:
        """Do one image; `buffers` are the thread's own network inputs, by bucket."""
        image = EncodedImage(self._images[number % len(self._images)])
        plan = self._family.plan(image, DEFAULT_OPTIONS)
        if plan.bucket not in buffers:
            buffers[plan.bucket] = {
                name: np.zeros((1, *shape), np.float32)
                for name, shape in plan.inputs_shapes.items()
            }
        inputs = buffers[plan.bucket]
        self._family.preprocess(image, plan, {name: a[0] for name, a in inputs.items()})
        outputs = self._session.run(self._names, inputs)
        # One number of an image is [1] for a family, as the server gives it.
        rows = {
            name: np.atleast_1d(value[0]) for name, value in zip(self._names, outputs, strict=True)
        }
        self._family.postprocess(rows, plan, DEFAULT_OPTIONS)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _measure(pipeline: _Pipeline, threads: int, seconds: float) -> Bare:
    done_s: list[float] = []
    cpu_s, start_s = _cpu_s(), time.perf_counter()

    def work(first: int) -> None:
        buffers: dict[tuple[int, ...], dict[str, Array]] = {}
        number = first
        while (begun_s := time.perf_counter()) < start_s + seconds:
            pipeline.run(number, buffers)
            done_s.append(time.perf_counter() - begun_s)
            number += 1

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall_s = time.perf_counter() - start_s
    return Bare(len(done_s), wall_s, _cpu_s() - cpu_s, float(np.median(done_s)) * 1e3)


def main() -> None:
    """Answer commands until stdin ends."""
    parser = argparse.ArgumentParser(description="The bare loop.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("images", type=Path, nargs="+")
    arguments = parser.parse_args()
    sys.setswitchinterval(_SWITCH_S)
    images = [path.read_bytes() for path in arguments.images]
    modes = {
        "throughput": (_Pipeline(arguments.model, images, 1), arguments.cores),
        "latency": (_Pipeline(arguments.model, images, arguments.cores), 1),
    }
    for pipeline, threads in modes.values():
        _measure(pipeline, threads, 0.2)
    for line in sys.stdin:
        what, seconds = line.split()
        pipeline, threads = modes[what]
        print(json.dumps(asdict(_measure(pipeline, threads, float(seconds)))), flush=True)


if __name__ == "__main__":
    main()
