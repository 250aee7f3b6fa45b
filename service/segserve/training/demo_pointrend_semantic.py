"""Trains the bundled PointRend demo model for semantic segmentation on synthetic scenes.

``python -m segserve.training.demo_pointrend_semantic --out model_repository --seed 0`` takes under
an hour on one CPU core. Losses follow the paper (Kirillov et al., 2020, sections 3 and 5): those of
the coarse head over all pixels, and cross-entropy of the point head at points, three quarters of
them the most uncertain of three times as many.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segserve.export.models.pointrend_semantic import PointRendSemantic, sample_maps
from segserve.scenes import CLASS_NAMES
from segserve.training.demo_deeplab import background_weight
from segserve.training.demo_deeplab import loss_of as loss_of_pixels
from segserve.training.loop import Schedule, built, plan_program, run
from segserve.training.scene_batches import IGNORED, SceneBank, photographs

RECIPE = "pointrend_semantic_demo"
FIRST_SEED = 3_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""

_OVERSAMPLED = 3
_IMPORTANT_SHARE = 0.75
_LEVELS = 4


@dataclass(frozen=True)
class Plan:
    """What to train with; `points` are sampled in each crop."""

    schedule: Schedule = field(default_factory=lambda: Schedule(1400))
    batch: int = 8
    crop_px: int = 128
    scenes: int = 800
    points: int = 384


def uncertain_points(logits: Tensor, count: int) -> Tensor:
    """Draw points: three quarters the most uncertain of many random ones, the others random.

    Parameters
    ----------
    logits : Tensor
        [B, C, h, w] of the coarse head; the uncertainty of a point is the second best minus the
        best of the logits that are interpolated there.
    count : int
        Points of each image.

    Returns
    -------
    Tensor
        [B, count, 2]: x and y, 0 to 1.
    """
    batch = logits.shape[0]
    important = int(count * _IMPORTANT_SHARE)
    candidates = torch.rand(batch, count * _OVERSAMPLED, 2)
    best = torch.topk(sample_maps(logits, candidates), 2, dim=1).values
    _, index = torch.topk(best[:, 1] - best[:, 0], important, dim=1)
    chosen = candidates.gather(1, index.unsqueeze(2).expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(batch, count - important, 2)], dim=1)


def labels_at(labels: Tensor, points: Tensor) -> Tensor:
    """Give the labels [B, P] of the pixels of int64 [B, H, W] that points [B, P, 2] lie in."""
    height, width = labels.shape[1:]
    x = (points[..., 0] * width).long().clamp(0, width - 1)
    y = (points[..., 1] * height).long().clamp(0, height - 1)
    return labels.flatten(1).gather(1, y * width + x)


def loss_of(
    model: PointRendSemantic, images: Tensor, labels: Tensor, points: int, background: float = 1.0
) -> Tensor:
    """Add the point head's cross-entropy to the coarse head's loss.

    Parameters
    ----------
    images : Tensor
        [B, 3, H, W] float32; sides are multiples of 32.
    labels : Tensor
        int64 [B, H, W].
    points : int
        Of each image.
    background : float
        Weight of the background in the coarse head's cross-entropy.
    """
    pyramid = model.backbone(images)[:_LEVELS]
    coarse = model.sem_seg_head.coarse_sem_seg_head(pyramid)
    at = uncertain_points(coarse.detach(), points)
    judged = model.sem_seg_head.point_head(sample_maps(pyramid[0], at), sample_maps(coarse, at))
    wanted = labels_at(labels, at)
    entropy = functional.cross_entropy(judged, wanted, ignore_index=IGNORED, reduction="sum")
    known = (wanted != IGNORED).sum().clamp(min=1)
    return loss_of_pixels(coarse, labels, background) + entropy / known


def initialise(model: nn.Module) -> None:
    """Kaiming-normal convolutions without bias, as the classes' layers stay as torch makes them."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


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
    model = built(RECIPE, PointRendSemantic)
    initialise(model)
    network = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it

    def loss_at(step: int) -> Tensor:
        images, labels = bank.batch(rng, plan.batch, plan.crop_px)
        inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        weight = background_weight(plan.schedule, step)
        return loss_of(network, inputs, torch.from_numpy(labels), plan.points, weight)

    return run(model, plan.schedule, loss_at, checkpoint)


def main() -> int:
    """Train, and write the model repository's entry."""
    return plan_program(RECIPE, CLASS_NAMES, Plan(), train)


if __name__ == "__main__":
    sys.exit(main())
