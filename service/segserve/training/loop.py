"""The loop that every demo model is trained in: AdamW, a cosine schedule, averaged weights."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from segserve.export.catalogue import find_recipe
from segserve.export.run import Destination, export_checkpoint

_WARM_PERCENT = 3
_TOLD_EVERY_STEPS = 50
_KEPT_EVERY_STEPS = 200


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    steps : int
    learning_rate : float
        The highest.
    weight_decay : float
    average_decay : float
        Of the running mean of the weights, which is what is kept.
    """

    steps: int
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.998


def learning_rate(schedule: Schedule, step: int) -> float:
    """Warm up over the first 3 %, then fall as a cosine to zero."""
    warm = max(1, schedule.steps * _WARM_PERCENT // 100)
    if step < warm:
        return schedule.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, schedule.steps - warm)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def run(
    model: nn.Module, schedule: Schedule, loss_at: Callable[[int], Tensor], checkpoint: Path
) -> nn.Module:
    """Train `model` and give the one of averaged weights.

    Parameters
    ----------
    model : nn.Module
        In training mode.
    loss_at : callable
        Draws the batch of a step, runs the model and gives the loss.
    checkpoint : Path
        Written every 200 steps and at the end, the weights under ``model_state``.
    """
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average_decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=schedule.weight_decay)
    start_s = time.monotonic()
    for step in range(schedule.steps):
        is_last = step == schedule.steps - 1
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(schedule, step)
        loss = loss_at(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average.update_parameters(model)
        if step % _TOLD_EVERY_STEPS == 0 or is_last:
            seconds = time.monotonic() - start_s
            print(f"step {step} loss {loss.item():.4f} {seconds:.0f} s", flush=True)  # noqa: T201  a person waits
        if step % _KEPT_EVERY_STEPS == 0 or is_last:
            torch.save({"model_state": average.module.state_dict()}, checkpoint)
    return average.module


AModel = TypeVar("AModel", bound=nn.Module)


def built(recipe: str, kind: type[AModel]) -> AModel:
    """Build a recipe's network, in training mode.

    Raises
    ------
    TypeError
        When the recipe builds another kind of network.
    """
    model = find_recipe(recipe).build()
    if not isinstance(model, kind):
        raise TypeError(f"recipe {recipe} builds a {type(model).__name__}, not a {kind.__name__}")
    return model.train()


class _Plan(Protocol):
    @property
    def schedule(self) -> Schedule: ...


APlan = TypeVar("APlan", bound=_Plan)


def plan_program(
    recipe: str,
    class_names: Sequence[str],
    plan: APlan,
    train: Callable[[APlan, int, Path], object],
) -> int:
    """Run `program` on a plan (a frozen dataclass), whose schedule gets the steps asked for.

    Parameters
    ----------
    train : callable
        Takes the plan, the seed and the checkpoint's path, and writes the checkpoint.
    """

    def start(steps: int, seed: int, checkpoint: Path) -> None:
        asked: Any = plan
        train(replace(asked, schedule=replace(plan.schedule, steps=steps)), seed, checkpoint)

    return program(recipe, class_names, plan.schedule.steps, start)


def program(
    recipe: str,
    class_names: Sequence[str],
    steps: int,
    train: Callable[[int, int, Path], object],
) -> int:
    """Run a demo model's training as a program: train, export, write into a model repository.

    Parameters
    ----------
    recipe : str
        Name of recipe and model.
    class_names : sequence of str
        Printed first.
    steps : int
        By default.
    train : callable
        Takes steps, seed and the checkpoint's path, and writes the checkpoint.
    """
    parser = argparse.ArgumentParser(prog="python -m segserve.training....")
    parser.add_argument("--out", type=Path, required=True, help="model repository to write into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch; the bundled weights were made with 1"
    )
    parser.add_argument("--checkpoint", type=Path, default=Path(f"build/{recipe}.pth"))
    options = parser.parse_args()
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # of the whole process, so the program's choice, not train's
    print(f"classes: {', '.join(class_names)}", flush=True)  # noqa: T201  a person waits
    train(options.steps, options.seed, options.checkpoint)
    destination = Destination(options.out, recipe, overwrite=True)
    written = export_checkpoint(find_recipe(recipe), options.checkpoint, destination)
    print(f"wrote {written.path}, {written.graph_bytes} bytes")  # noqa: T201  a person waits
    return 0
