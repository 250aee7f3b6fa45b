"""Trains the bundled Mask R-CNN demo model on synthetic scenes.

``python -m segserve.training.demo_mask_rcnn --out model_repository --seed 0`` takes under an hour
on one CPU core. The network is detectron2's, slim; its batch norms learn here and are frozen in
what is exported.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segserve.export.models.detectron2_rcnn import Detectron2Rcnn
from segserve.export.models.frozen_norm import thaw_batch_norms
from segserve.export.models.mask_rcnn_detectron2 import Detectron2MaskRcnn
from segserve.export.models.two_stage import pool_rows
from segserve.scenes import CLASS_NAMES
from segserve.training.instance_batches import ObjectBank
from segserve.training.loop import Schedule, built, plan_program, run
from segserve.training.rcnn_losses import (
    Rois,
    Truths,
    box_loss,
    mask_loss,
    proposal_loss,
    sample_rois,
)
from segserve.training.scene_batches import photographs

RECIPE = "mask_rcnn_demo"
FIRST_SEED = 5_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""

_ANCHORS = 64
_ROIS = 48
_MASKS = 32
_RARE = -float(np.log((1 - 0.01) / 0.01))


@dataclass(frozen=True)
class Plan:
    """What to train with."""

    schedule: Schedule = field(
        default_factory=lambda: Schedule(1000, learning_rate=2e-3, average_decay=0.99)
    )
    batch: int = 4
    scenes: int = 1500


def detect_losses(
    model: Detectron2Rcnn, images: Tensor, truths: Truths
) -> tuple[list[Tensor], Rois, Tensor]:
    """Run both stages up to the boxes.

    Parameters
    ----------
    model : Detectron2Rcnn
    images : Tensor
        [B, 3, H, W] float32, normalised.
    truths : Truths

    Returns
    -------
    pyramid : list of Tensor
    rois : Rois
        On which boxes were learnt.
    loss : Tensor
        Of proposals and boxes.
    """
    pyramid: list[Tensor] = model.backbone(images)
    judged = model.proposal_generator.judge(pyramid)
    size = torch.tensor([images.shape[2:]] * len(images), dtype=torch.float32)
    with torch.no_grad():
        proposals = model.proposal_generator.choose(judged, size)
    rois = sample_rois(proposals, truths, _ROIS)
    rule = model.rules.boxes
    pooled = pool_rows(pyramid, rois.boxes, rule.levels, rule.pooling)
    logits, offsets = model.roi_heads.boxes(pooled)
    loss = proposal_loss(judged, truths, _ANCHORS) + box_loss(logits, offsets, rois, truths)
    return pyramid, rois, loss


def loss_of(model: Detectron2MaskRcnn, images: Tensor, truths: Truths) -> Tensor:
    """Proposals, boxes and masks, added."""
    pyramid, rois, loss = detect_losses(model, images, truths)
    chosen = rois.on_objects(_MASKS)
    rules = model.rules
    pooled = pool_rows(pyramid, chosen.boxes, rules.boxes.levels, rules.mask_pooling)
    return loss + mask_loss(model.roi_heads.mask_head(pooled), chosen, truths)


def initialise(model: nn.Module) -> None:
    """Start convolutions as He et al. (2015) say, judges small, and objects rare."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if name.endswith(("objectness_logits", "anchor_deltas", "cls_score", "bbox_pred")):
            nn.init.normal_(layer.weight, std=0.01)
    bias = model.get_parameter("proposal_generator.rpn_head.objectness_logits.bias")
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
    model = built(RECIPE, Detectron2MaskRcnn)
    thaw_batch_norms(model)
    initialise(model)
    network = model.train()

    def loss_at(_step: int) -> Tensor:
        images, objects = bank.batch(rng, plan.batch)
        return loss_of(network, torch.from_numpy(images), Truths.of(objects))

    return run(model, plan.schedule, loss_at, checkpoint)


def main() -> int:
    """Train, and write the model repository's entry."""
    return plan_program(RECIPE, CLASS_NAMES[1:], Plan(), train)


if __name__ == "__main__":
    sys.exit(main())
