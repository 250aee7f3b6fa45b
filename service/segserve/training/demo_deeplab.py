"""Trains the bundled demo model: DeepLabV3+ with a slim ResNet on synthetic scenes.

``python -m segserve.training.demo_deeplab --out model_repository --seed 0`` takes under an hour on
two CPU cores and writes ``deeplabv3plus_demo`` into the repository.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from segserve.export.catalogue import find_recipe
from segserve.scenes import CLASS_NAMES
from segserve.training.loop import Schedule, plan_program, run
from segserve.training.scene_batches import IGNORED, SceneBank, photographs

RECIPE = "deeplabv3plus_demo"
FIRST_SEED = 1_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""


@dataclass(frozen=True)
class Plan:
    """What to train with."""

    schedule: Schedule = field(default_factory=lambda: Schedule(3000))
    batch: int = 8
    crop_px: int = 160
    scenes: int = 1500


def background_weight(schedule: Schedule, step: int) -> float:
    """Rise from 0.3 to 1 over the first 60 %: at first, all background is too good an answer."""
    return min(1.0, 0.3 + 0.7 * step / max(1, schedule.steps * 6 // 10))


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
    """Train and give the averaged model; writes `checkpoint`.

    Parameters
    ----------
    seed : int
        Equal seeds give equal models on one machine, torch version and number of threads.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    print(f"drawing {plan.scenes} scenes ...", flush=True)  # noqa: T201  a person waits
    bank = SceneBank.draw(FIRST_SEED + seed * plan.scenes, plan.scenes, photographs())
    model = find_recipe(RECIPE).build().train()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it

    def loss_at(step: int) -> torch.Tensor:
        images, labels = bank.batch(rng, plan.batch, plan.crop_px)
        inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        weight = background_weight(plan.schedule, step)
        return loss_of(model(inputs), torch.from_numpy(labels), weight)

    return run(model, plan.schedule, loss_at, checkpoint)


def main() -> int:
    """Train, and write the model repository's entry."""
    return plan_program(RECIPE, CLASS_NAMES, Plan(), train)


if __name__ == "__main__":
    sys.exit(main())
