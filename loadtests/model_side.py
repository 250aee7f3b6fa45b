"""One network alone in a process of its own: eager torch, or bare ONNX Runtime.

The image is decoded and prepared once, before anything is measured. The process prints one JSON
object, `Side`, then answers each line ``throughput SECONDS`` on stdin with another,
`loadtests.bare.Bare`: as many threads as cores run the network over and over, each with one image
and one thread of the library, and each at least once.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from loadtests.bare import Bare, BareLoop
from segserve.core.messages import EncodedImage
from segserve.core.options import DEFAULT_OPTIONS
from segserve.core.tensor import Array
from segserve.families.factory import build_family
from segserve.repository.labels import read_labels
from segserve.repository.pbtxt import parse_config

_SWITCH_S = 5e-4  # as the server
Inputs = Mapping[str, Array]


@dataclass(frozen=True)
class Side:
    """What a process says of its network.

    Parameters
    ----------
    input_shape : tuple of int
        Of the first input, batch axis included.
    parameters : int
        Numbers that are learnt; 0 where they were not counted.
    flops : int
        Of one image: a multiplication and an addition are two; 0 where they were not counted.
    unfilled : int
        Weights that are not the model's own, because its graph does not have them by name.
    """

    input_shape: tuple[int, ...]
    parameters: int = 0
    flops: int = 0
    unfilled: int = 0


class SideProcess:
    """The parent's end of a side."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            raise RuntimeError("the side has no pipes")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the side did not start; its error is above")
        said = json.loads(line)
        self.said = Side(**{**said, "input_shape": tuple(said["input_shape"])})
        self._loop = BareLoop(process)

    def run(self, seconds: float) -> Bare:
        """Let it run."""
        return self._loop.run("throughput", seconds)


@contextmanager
def side(kind: str, model: Path, image: Path, threads: int, *more: str) -> Iterator[SideProcess]:
    """Start ``torch`` or ``onnx`` over a model's folder of the repository; end it afterwards."""
    command = [sys.executable, "-m", "loadtests.model_side", kind, "--model", str(model)]
    command += ["--image", str(image), "--threads", str(threads), *more]
    with subprocess.Popen(  # noqa: S603  our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield SideProcess(process)
        finally:
            process.terminate()


def network_inputs(model: Path, image: bytes) -> Inputs:
    """Prepare an image as the server does: inputs by name, with a batch axis of 1."""
    config = parse_config((model / "config.pbtxt").read_text(), source="config.pbtxt")
    labels = read_labels(model / "labels.txt")
    family = build_family(config.parameters, labels, config.input_specs(), config.output_specs())
    if family is None:
        raise RuntimeError(f"{model} has no family")
    encoded = EncodedImage(image)
    plan = family.plan(encoded, DEFAULT_OPTIONS)
    inputs = {n: np.zeros((1, *shape), np.float32) for n, shape in plan.inputs_shapes.items()}
    family.preprocess(encoded, plan, {name: array[0] for name, array in inputs.items()})
    return {spec.name: inputs[spec.name] for spec in config.input_specs()}


def open_onnx(model: Path, inputs: Inputs) -> tuple[Side, Callable[[], object]]:
    """Open the graph in a session of one thread."""
    import onnxruntime  # noqa: PLC0415  one of the two sides alone

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(model / "1" / "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return Side(next(iter(inputs.values())).shape), lambda: session.run(names, dict(inputs))


def open_torch(
    model: Path, inputs: Inputs, recipe: str, checkpoint: Path | None
) -> tuple[Side, Callable[[], object]]:
    """Build the eager network, fill it from the checkpoint or the graph, and count."""
    import torch  # noqa: PLC0415  one of the two sides alone
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415  same

    from loadtests.graph_weights import fill_from_graph, read_weights  # noqa: PLC0415  same
    from segserve.export.catalogue import find_recipe  # noqa: PLC0415  same
    from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: PLC0415  same

    torch.set_num_threads(1)
    network = find_recipe(recipe).build()
    unfilled: Sequence[str] = ()
    if checkpoint is None:
        unfilled = fill_from_graph(network, read_weights(model / "1" / "model.onnx"))
    else:
        match_state_dict(network, load_checkpoint(checkpoint))
    tensors = [torch.from_numpy(array) for array in inputs.values()]

    def run() -> object:
        with torch.inference_mode():
            return network(*tensors)

    # Else the counter looks for the gradients of what modules give, and weights have none.
    network.requires_grad_(requires_grad=False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*tensors)
    count = sum(p.numel() for p in network.parameters())
    return Side(tuple(tensors[0].shape), count, counter.get_total_flops(), len(unfilled)), run


def measure(run: Callable[[], object], threads: int, seconds: float) -> Bare:
    """Run in `threads` threads for about `seconds`, in each at least once."""
    done_s: list[float] = []
    before, start_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()

    def work() -> None:
        begun_s = time.perf_counter()
        while True:
            run()
            ended_s = time.perf_counter()
            done_s.append(ended_s - begun_s)
            begun_s = ended_s
            if ended_s >= start_s + seconds:
                return

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall_s = time.perf_counter() - start_s
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Bare(len(done_s), wall_s, cpu_s, float(np.median(done_s)) * 1e3)


def main() -> None:
    """Say what the network is, then answer until stdin ends."""
    parser = argparse.ArgumentParser(description="One network alone.")
    parser.add_argument("kind", choices=["torch", "onnx"])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--recipe", default="")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    sys.setswitchinterval(_SWITCH_S)
    inputs = network_inputs(options.model, options.image.read_bytes())
    if options.kind == "onnx":
        said, run = open_onnx(options.model, inputs)
    else:
        said, run = open_torch(options.model, inputs, options.recipe, options.checkpoint)
    measure(run, options.threads, 0.0)
    print(json.dumps(asdict(said)), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(measure(run, options.threads, float(line.split()[1])))), flush=True)


if __name__ == "__main__":
    main()
