"""`make bench-models`: eager torch, bare ONNX Runtime and the server, model by model.

All three have the same cores and one thread a core, and the same image. Eager torch and bare ONNX
Runtime get it decoded and prepared, run the network alone, and leave the answer as tensors. The
server gets the JPEG over gRPC and answers with regions at the image's size: decoding, preparation,
masks, RLE and the load generator are in its figure alone, and so is batching. Rounds are
interleaved and medians taken.

Demo models are the bundled ones. Others get the deterministic weights of the goldens, or where
there are none fresh ones from a seed (with which detectors find next to nothing), and are exported
once into build/bench-models/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests.generator import Target, run_load
from loadtests.model_side import Side, side
from loadtests.payloads import SEGMENT
from loadtests.rows import Row, table, write
from loadtests.server_process import running_server
from segserve.core.errors import NotFound
from segserve.export.catalogue import find_recipe
from segserve.generated.segserve.v1 import segmentation_pb2

GOAL = "ratio >= 0.9"
_EXPORTED = Path("build") / "bench-models"
_IMAGES = 12
"""At least so many in a measurement: beginning and end of the load weigh little then."""
_WARM_UP_S = 900.0  # some take minutes for an image, and warm up in two sessions
_EXPLICIT = ("--model-control-mode", "explicit", "--load-model")


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Parameters
    ----------
    rounds : int
    seconds : float
        Of each measurement, at least; slow models take longer.
    threads : int
        Cores of each side.
    concurrency : int
        Requests that the load generator keeps open.
    """

    rounds: int
    seconds: float
    threads: int
    concurrency: int


@dataclass(frozen=True)
class Subject:
    """A model to measure: its recipe, its repository, and its checkpoint if there is one.

    Parameters
    ----------
    recipe : str
    repository : Path
    checkpoint : Path, optional
    fresh : bool
        Whether the checkpoint's weights are fresh ones.
    """

    recipe: str
    repository: Path
    checkpoint: Path | None = None
    fresh: bool = False

    @property
    def folder(self) -> Path:
        """The model's own folder."""
        return self.repository / self.recipe


def subjects(recipes: Sequence[str], models: Path, goldens: Path) -> list[Subject]:
    """Find the models, by their recipes' names or aliases; what is not bundled is exported.

    Raises
    ------
    NotFound
        When there is no such recipe.
    RuntimeError
        When it cannot be exported.
    """
    names = [find_recipe(name).name for name in recipes]
    return [
        Subject(name, models) if (models / name).is_dir() else _exported(name, goldens)
        for name in names
    ]


def bundled_recipes(models: Path) -> list[str]:
    """Give the bundled models that come from a recipe: those with a graph."""
    return sorted(path.parents[1].name for path in models.glob("*/1/model.onnx"))


def _exported(recipe: str, goldens: Path) -> Subject:
    golden = goldens / recipe
    fresh = not (golden / "manifest.json").exists()
    folder = _EXPORTED / ("fresh" if fresh else "goldens")
    checkpoint = folder / "checkpoints" / f"{recipe}.pth"
    subject = Subject(recipe, folder / "repository", checkpoint, fresh)
    if not checkpoint.exists():
        print(f"{recipe}: filling", flush=True)
        whose = () if fresh else (str(golden),)
        _child("-m", "loadtests.weights", recipe, str(checkpoint), *whose)
    if not subject.folder.is_dir():
        print(f"{recipe}: exporting", flush=True)
        where = ("--checkpoint", str(checkpoint), "--out", str(subject.repository))
        _child("-m", "segserve", "export", recipe, *where)
    return subject


def _child(*words: str) -> None:
    """Run one of our programs apart: what it has in memory goes with it."""
    done = subprocess.run([sys.executable, *words], check=False)  # noqa: S603  our own programs
    if done.returncode != 0:
        raise RuntimeError(f"python {' '.join(words)} ended with {done.returncode}")


def measure(subject: Subject, image: Path, plan: Plan) -> list[Row]:
    """Measure one model: all three sides run through all rounds in turn."""
    rates: dict[str, list[float]] = defaultdict(list)
    more = ["--recipe", subject.recipe]
    if subject.checkpoint is not None:
        more += ["--checkpoint", str(subject.checkpoint)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segserve-models-")))
        body = folder / "request"
        request = segmentation_pb2.SegmentRequest(
            model_name=subject.recipe, encoded=image.read_bytes()
        )
        body.write_bytes(request.SerializeToString())
        eager, bare = (
            stack.enter_context(side(kind, subject.folder, image, plan.threads, *more))
            for kind in ("torch", "onnx")
        )
        flags = (*_EXPLICIT, subject.recipe, "--cpu-threads", str(plan.threads))
        server = stack.enter_context(running_server(subject.repository, *flags, start_s=_WARM_UP_S))
        target = Target(f"127.0.0.1:{server.grpc_port}", SEGMENT)
        # Both have the memory of their runs then, which large images fault in for seconds.
        seconds = max(plan.seconds, _IMAGES / bare.run(0.0).per_s)
        run_load(target, [body], plan.concurrency, 0.1)
        for number in range(plan.rounds):
            print(f"{subject.recipe}: round {number + 1} of {plan.rounds}", flush=True)
            rates["eager"].append(eager.run(plan.seconds).per_s)
            rates["bare"].append(bare.run(seconds).per_s)
            rates["served"].append(run_load(target, [body], plan.concurrency, seconds).per_s)
        name = subject.recipe + (" (fresh weights)" if subject.fresh else "")
        return rows(name, {k: median(v) for k, v in rates.items()}, eager.said)


def rows(name: str, per_s: dict[str, float], said: Side) -> list[Row]:
    """Give a model's rows; eager torch and the server are held against bare ONNX Runtime."""
    bare = per_s["bare"]
    size = "x".join(map(str, said.input_shape[2:]))
    own = f", {said.unfilled} weights not its own" if said.unfilled else ""
    return [
        Row(f"{name}, parameters", said.parameters / 1e6, "M"),
        Row(f"{name}, FLOPs at {size}", said.flops / 1e9, "G"),
        Row(f"{name}, eager torch{own}", per_s["eager"], "images/s", bare, per_s["eager"] / bare),
        Row(f"{name}, bare ONNX Runtime", bare, "images/s"),
        Row(f"{name}, served", per_s["served"], "images/s", bare, per_s["served"] / bare, GOAL),
    ]


def main() -> None:
    """Measure, print, and write build/bench/models.json."""
    parser = argparse.ArgumentParser(description="Eager torch, bare ONNX Runtime, the server.")
    parser.add_argument("--recipes", help="comma-separated (default: the bundled demo models)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, at least")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--image", type=Path, default=Path("docs/images/coffee.jpg"))
    parser.add_argument("--models", type=Path, default=Path("model_repository"))
    parser.add_argument("--goldens", type=Path, default=Path("../shared/goldens"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/models.json"))
    options = parser.parse_args()
    rounds, seconds = (1, 0.7) if options.quick else (options.rounds, options.seconds)
    plan = Plan(rounds, seconds, options.threads, options.concurrency)
    names = options.recipes.split(",") if options.recipes else bundled_recipes(options.models)
    found: list[Row] = []
    try:
        measured = subjects(names, options.models, options.goldens)
    except NotFound as error:
        parser.error(error.message)
    for subject in measured:
        found += measure(subject, options.image, plan)
        write(found, options.out)
    print(table(found))
    print(f"rows are in {options.out}")


if __name__ == "__main__":
    main()
