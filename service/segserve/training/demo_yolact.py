"""Trains the bundled YOLACT demo model on synthetic scenes.

``python -m segserve.training.demo_yolact --out model_repository --seed 0`` takes under an hour on
one CPU core. Targets and losses follow the paper (Bolya et al., 2019): see
`segserve.training.yolact_targets` and `segserve.training.yolact_losses`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from segserve.export.catalogue import find_recipe
from segserve.export.models.yolact import Head, Yolact
from segserve.scenes import CLASS_NAMES
from segserve.training.instance_batches import ObjectBank, Objects
from segserve.training.loop import Schedule, built, program, run
from segserve.training.scene_batches import photographs
from segserve.training.yolact_losses import class_loss, mask_loss, presence_loss
from segserve.training.yolact_targets import offsets_of, targets_of

RECIPE = "yolact_demo"
FIRST_SEED = 4_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""

_BOX_WEIGHT, _MASK_WEIGHT = 1.5, 6.125
_MOST_MASKS = 64
_SMALL = 0.01


def _schedules() -> tuple[Schedule, ...]:
    return tuple(Schedule(steps, 1.5e-3, average_decay=0.99) for steps in (1000, 500))


@dataclass(frozen=True)
class Plan:
    """What to train with.

    Parameters
    ----------
    schedules : tuple of Schedule
        One after another, each from the averaged weights of the one before, on scenes of its own.
    batch, scenes : int
    """

    schedules: tuple[Schedule, ...] = field(default_factory=_schedules)
    batch: int = 4
    scenes: int = 1500

    @property
    def steps(self) -> int:
        """Of all schedules."""
        return sum(schedule.steps for schedule in self.schedules)

    def shared_out(self, steps: int) -> Plan:
        """Give the plan with as many steps, in the proportions of this one."""
        parts = [max(1, schedule.steps * steps // self.steps) for schedule in self.schedules]
        shorter = zip(self.schedules, parts, strict=True)
        return replace(self, schedules=tuple(replace(one, steps=part) for one, part in shorter))


def stretched(images: npt.NDArray[np.float32], side: int) -> Tensor:
    """Give pictures [B, 3, H, W] as squares, as the server does it: bilinear, not antialiased."""
    pixels = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    return functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)


def loss_of(model: Yolact, images: Tensor, objects: Sequence[Objects]) -> Tensor:
    """Give the sum of the losses, weighted as in the paper.

    Parameters
    ----------
    images : Tensor
        [B, 3, S, S], normalised.
    objects : sequence of Objects
        One per picture, before it was stretched.
    """
    levels = model.fpn(model.backbone(images))
    offsets, logits, coefficients, prototypes = model.predictions(levels)
    presence = model.semantic_seg_conv(levels[0])
    targets = [
        targets_of(each, model.priors, prototypes.shape[1], presence.shape[1]) for each in objects
    ]
    found = [torch.nonzero(target.rows >= 0)[:, 0] for target in targets]
    boxes, masks = [], []
    for row, (target, at) in enumerate(zip(targets, found, strict=True)):
        wanted = offsets_of(target.boxes[target.rows[at]], model.priors[at])
        boxes.append(functional.smooth_l1_loss(offsets[row, at], wanted, reduction="none").sum(1))
        some = at[torch.randperm(len(at))[:_MOST_MASKS]]
        of = target.rows[some]
        masks.append(
            mask_loss(prototypes[row], coefficients[row, some], target.masks[of], target.boxes[of])
        )
    return (
        class_loss(logits, torch.stack([target.classes for target in targets]))
        + _BOX_WEIGHT * _mean(boxes)
        + _MASK_WEIGHT * _mean(masks)
        + presence_loss(presence, torch.stack([target.presence for target in targets]))
    )


def _mean(parts: Sequence[Tensor]) -> Tensor:
    every = torch.cat(list(parts))
    return every.sum() / max(1, len(every))


def initialise(model: Yolact) -> None:
    """Start as the official code does, with Xavier's weights and no biases outside of the trunk.

    The heads' last layers start small: what is loudly wrong at first is silenced by switching off
    units behind a ReLU, and these stay off.
    """
    for part in (model.fpn, model.proto_net, model.prediction_layers, model.semantic_seg_conv):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    for head in model.prediction_layers:
        if isinstance(head, Head):
            for layer in (head.bbox_layer, head.conf_layer, head.mask_layer):
                nn.init.normal_(layer.weight, std=_SMALL)


def train(plan: Plan, seed: int, checkpoint: Path) -> nn.Module:
    """Train and give the averaged model; writes `checkpoint`.

    Parameters
    ----------
    seed : int
        Equal seeds give equal models on one machine, torch version and number of threads.
    """
    torch.manual_seed(seed)
    model = built(RECIPE, Yolact)
    initialise(model)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it
    for number, schedule in enumerate(plan.schedules):
        if number:
            torch.manual_seed(seed + number)
        model = _trained(model, plan, schedule, seed + number, checkpoint)
    return model


def _trained(model: Yolact, plan: Plan, schedule: Schedule, seed: int, checkpoint: Path) -> Yolact:
    """Run one schedule."""
    rng = np.random.default_rng(seed)
    print(f"drawing {plan.scenes} scenes ...", flush=True)  # noqa: T201  a person waits
    bank = ObjectBank.draw(FIRST_SEED + seed * plan.scenes, plan.scenes, photographs())
    side = find_recipe(RECIPE).sample_inputs()["image"].shape[-1]

    def loss_at(_step: int) -> Tensor:
        images, objects = bank.batch(rng, plan.batch)
        return loss_of(model, stretched(images, side), objects)

    averaged = run(model, schedule, loss_at, checkpoint)
    if not isinstance(averaged, Yolact):
        raise TypeError(f"the average of a Yolact is a {type(averaged).__name__}")
    return averaged


def main() -> int:
    """Train, and write the model repository's entry."""
    plan = Plan()

    def start(steps: int, seed: int, checkpoint: Path) -> None:
        train(plan.shared_out(steps), seed, checkpoint)

    return program(RECIPE, CLASS_NAMES[1:], plan.steps, start)


if __name__ == "__main__":
    sys.exit(main())
