"""Trains the bundled demo model: DeepLabV3+ with a slim ResNet on synthetic scenes.

``python -m segserve.training.demo_deeplab --out model_repository --seed 0`` takes under an hour on
two CPU cores and writes ``deeplabv3plus_demo`` into the repository.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from segserve.export.catalogue import find_recipe
from segserve.export.run import Destination, export_checkpoint
from segserve.scenes import CLASS_NAMES
from segserve.training.scene_batches import IGNORED, SceneBank, photographs

RECIPE = "deeplabv3plus_demo"
FIRST_SEED = 1_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""


@dataclass(frozen=True)
class Plan:
    """What to train with."""

    steps: int = 3000
    batch: int = 8
    crop_px: int = 160
    scenes: int = 1500
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.998


def learning_rate(plan: Plan, step: int) -> float:
    """Warm up over the first 3 %, then fall as a cosine to zero."""
    warm = max(1, plan.steps * 3 // 100)
    if step < warm:
        return plan.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, plan.steps - warm)
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def background_weight(plan: Plan, step: int) -> float:
    """Rise from 0.3 to 1 over the first 60 %: at first, all background is too good an answer."""
    return min(1.0, 0.3 + 0.7 * step / max(1, plan.steps * 6 // 10))


def loss_of(logits: torch.Tensor, labels: torch.Tensor, background: float = 1.0) -> torch.Tensor:
    """Cross-entropy plus soft Dice, at the labels' resolution.

    Parameters
    ----------
    logits : float32 [B, C, h, w]
    labels : int64 [B, H, W]
    background : float
        Weight of the background in the cross-entropy.
    """
    full = functional.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=False)
    weights = torch.ones(full.shape[1])
    weights[0] = background
    entropy = functional.cross_entropy(full, labels, weights, ignore_index=IGNORED)
    known = (labels != IGNORED).unsqueeze(1)
    truth = functional.one_hot(labels.clamp(max=full.shape[1] - 1), full.shape[1])
    truth = truth.permute(0, 3, 1, 2) * known
    guess = full.softmax(1) * known
    overlap = (guess * truth).sum((0, 2, 3))
    size = guess.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    dice = 1 - ((2 * overlap + 1) / (size + 1)).mean()
    return entropy + 0.5 * dice


def train(plan: Plan, seed: int, checkpoint: Path) -> nn.Module:
    """Train and give the averaged model; writes `checkpoint` every 200 steps.

    Parameters
    ----------
    seed : int
        Equal seeds give equal models on one machine and torch version.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    print(f"drawing {plan.scenes} scenes ...", flush=True)  # noqa: T201  a person waits
    bank = SceneBank.draw(FIRST_SEED + seed * plan.scenes, plan.scenes, photographs())
    model = find_recipe(RECIPE).build().train()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.average_decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=plan.weight_decay)
    start_s = time.monotonic()
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, step)
        images, labels = bank.batch(rng, plan.batch, plan.crop_px)
        inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        loss = loss_of(model(inputs), torch.from_numpy(labels), background_weight(plan, step))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average.update_parameters(model)
        if step % 50 == 0 or step == plan.steps - 1:
            seconds = time.monotonic() - start_s
            print(f"step {step} loss {loss.item():.4f} {seconds:.0f} s", flush=True)  # noqa: T201
        if step % 200 == 0 or step == plan.steps - 1:
            torch.save({"model_state": average.module.state_dict()}, checkpoint)
    return average.module


def main() -> int:
    """Train, and write the model repository's entry."""
    parser = argparse.ArgumentParser(prog="python -m segserve.training.demo_deeplab")
    parser.add_argument("--out", type=Path, required=True, help="model repository to write into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch; the bundled weights were made with 1"
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("build/demo_deeplab.pth"))
    options = parser.parse_args()
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # of the whole process, so the program's choice, not train's
    plan = Plan(steps=options.steps)
    print(f"classes: {', '.join(CLASS_NAMES)}", flush=True)  # noqa: T201
    train(plan, options.seed, options.checkpoint)
    destination = Destination(options.out, RECIPE, overwrite=True)
    written = export_checkpoint(find_recipe(RECIPE), options.checkpoint, destination)
    print(f"wrote {written.path}, {written.graph_bytes} bytes")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
