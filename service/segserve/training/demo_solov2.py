"""Trains the bundled SOLOv2 demo model on synthetic scenes.

``python -m segserve.training.demo_solov2 --out model_repository --seed 0`` takes under an hour on
one CPU core. Targets and losses follow the paper (Wang et al., 2020): focal loss on the cells'
categories, Dice on the masks of the cells that own an object.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segserve.export.models.mmdet_fpn import coordinates, resized
from segserve.export.models.solo_parts import by_cell, head_levels
from segserve.export.models.solov2 import SoloV2
from segserve.scenes import CLASS_NAMES
from segserve.training.instance_batches import ObjectBank, Objects
from segserve.training.loop import Schedule, built, plan_program, run
from segserve.training.scene_batches import photographs

RECIPE = "solov2_demo"
FIRST_SEED = 2_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""

SIZES_PX = ((1.0, 48.0), (24.0, 72.0), (48.0, 108.0), (80.0, 160.0), (120.0, 2048.0))
"""Square roots of areas that each level answers for; they overlap, as the official ones do."""

_CENTRE_SHARE = 0.2
_ALPHA, _GAMMA = 0.25, 2.0
_MASK_WEIGHT = 3.0
_RARE = -float(np.log((1 - 0.01) / 0.01))


@dataclass(frozen=True)
class Plan:
    """What to train with."""

    schedule: Schedule = field(default_factory=lambda: Schedule(3600, learning_rate=2e-3))
    batch: int = 4
    scenes: int = 1500


@dataclass(frozen=True)
class CellTargets:
    """What the cells of one image should say.

    Parameters
    ----------
    classes : int64 [cells]
        -1 for a cell that owns nothing.
    objects : int64 [cells]
        Row of the object that the cell owns, -1 for none.
    """

    classes: np.ndarray[tuple[int], np.dtype[np.int64]]
    objects: np.ndarray[tuple[int], np.dtype[np.int64]]


def cell_targets(objects: Objects, grids: Sequence[int]) -> CellTargets:
    """Give each object to the cells around its centre of mass, on the levels of its size.

    Cells within a fifth of the object's box around the centre own it, at most one beside the
    centre's cell each way; of several objects the last takes the cell.
    """
    classes = [np.full((grid, grid), -1, np.int64) for grid in grids]
    owners = [np.full((grid, grid), -1, np.int64) for grid in grids]
    height, width = objects.masks.shape[1:]
    for row, (mask, box) in enumerate(zip(objects.masks, objects.boxes, strict=True)):
        y, x = (float(at.mean()) + 0.5 for at in np.nonzero(mask))
        half_x, half_y = (box[2:] - box[:2]) * _CENTRE_SHARE / 2
        size_px = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        for level, (grid, (least, most)) in enumerate(zip(grids, SIZES_PX, strict=True)):
            if least <= size_px <= most:
                window = (
                    _cells(y, half_y, height, grid),
                    _cells(x, half_x, width, grid),
                )
                classes[level][window] = objects.classes[row]
                owners[level][window] = row
    flat = [np.concatenate([level.ravel() for level in of]) for of in (classes, owners)]
    return CellTargets(flat[0], flat[1])


def _cells(centre_px: float, half_px: float, side_px: int, grid: int) -> slice:
    cell = int(centre_px / side_px * grid)
    first = int(max(0.0, (centre_px - half_px) / side_px) * grid)
    last = int(min(1.0 - 1e-6, (centre_px + half_px) / side_px) * grid)
    return slice(max(first, cell - 1), min(last, cell + 1) + 1)


def heads(model: SoloV2, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run the network up to what is learnt.

    Returns
    -------
    tuple of Tensor
        Class logits [B, cells, classes], kernels [B, cells, E], mask features [B, E, h, w].
    """
    pyramid = model.neck(model.backbone(images))
    head = model.bbox_head
    logits, kernels = [], []
    for level, grid in zip(head_levels(pyramid), head.grids, strict=True):
        seen = resized(torch.cat([level, coordinates(level)], dim=1), grid, grid)
        kernels.append(by_cell(head.solo_kernel(head.kernel_convs(seen))))
        logits.append(by_cell(head.solo_cate(head.cate_convs(seen[:, : head.channels]))))
    return torch.cat(logits, 1), torch.cat(kernels, 1), model.mask_feat_head(pyramid)


def category_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Focal loss over all cells, per owned cell.

    Parameters
    ----------
    logits : Tensor
        [B, cells, classes].
    classes : Tensor
        int64 [B, cells], -1 for none.
    """
    wanted = functional.one_hot(classes + 1, logits.shape[2] + 1)[..., 1:].to(logits.dtype)
    probability = logits.sigmoid()
    missed = wanted * (1 - probability) + (1 - wanted) * probability
    weight = wanted * _ALPHA + (1 - wanted) * (1 - _ALPHA)
    loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (weight * missed**_GAMMA * loss).sum() / (1 + (classes >= 0).sum())


def mask_loss(kernels: Tensor, features: Tensor, masks: Tensor) -> Tensor:
    """Dice of the masks of owned cells of one image.

    Parameters
    ----------
    kernels : Tensor
        [n, E].
    features : Tensor
        [E, h, w].
    masks : Tensor
        [n, h, w] in 0..1.
    """
    guess = torch.matmul(kernels, features.flatten(1)).sigmoid()
    truth = masks.flatten(1)
    overlap = (guess * truth).sum(1)
    sizes = (guess * guess).sum(1) + (truth * truth).sum(1)
    return 1 - 2 * overlap / (sizes + 1e-3)


def loss_of(model: SoloV2, images: Tensor, objects: Sequence[Objects]) -> Tensor:
    """Categories plus three times masks."""
    logits, kernels, features = heads(model, images)
    targets = [cell_targets(each, model.bbox_head.grids) for each in objects]
    classes = torch.from_numpy(np.stack([target.classes for target in targets]))
    dice = []
    for row, (each, target) in enumerate(zip(objects, targets, strict=True)):
        cells = np.flatnonzero(target.objects >= 0)
        if not len(cells):
            continue
        truth = torch.from_numpy(each.masks.astype(np.float32))[:, None]
        small = functional.interpolate(truth, size=features.shape[2:], mode="area")[:, 0]
        wanted = small[torch.from_numpy(target.objects[cells])]
        dice.append(mask_loss(kernels[row, torch.from_numpy(cells)], features[row], wanted))
    masks = torch.cat(dice).mean() if dice else features.sum() * 0
    return category_loss(logits, classes) + _MASK_WEIGHT * masks


def initialise(model: SoloV2) -> None:
    """Start as the official code does: small normal weights in the heads, rare categories."""
    for part in (model.bbox_head, model.mask_feat_head):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    bias = model.bbox_head.solo_cate.bias
    if bias is not None:
        nn.init.constant_(bias, _RARE)


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
    bank = ObjectBank.draw(FIRST_SEED + seed * plan.scenes, plan.scenes, photographs())
    model = built(RECIPE, SoloV2)
    initialise(model)
    network = model

    def loss_at(_step: int) -> Tensor:
        images, objects = bank.batch(rng, plan.batch)
        return loss_of(network, torch.from_numpy(images), objects)

    return run(model, plan.schedule, loss_at, checkpoint)


def main() -> int:
    """Train, and write the model repository's entry."""
    return plan_program(RECIPE, CLASS_NAMES[1:], Plan(), train)


if __name__ == "__main__":
    sys.exit(main())
