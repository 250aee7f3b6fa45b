"""Trains the masks of the bundled PointRend demo model on synthetic scenes.

``python -m segserve.training.demo_pointrend --out model_repository --seed 0`` takes about ten
minutes on one CPU core. Everything up to the boxes is the Mask R-CNN demo model's and stays as it
is: its checkpoint, ``mask_rcnn_demo.pth``, is looked for beside the one that is written.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segserve.core.errors import InvalidInput, NotFound
from segserve.export.checkpoint import load_checkpoint
from segserve.export.models.demo_rcnn import DemoPointRend
from segserve.export.models.pointrend_instance import PointRendMaskHead
from segserve.export.models.two_stage import channel_of
from segserve.scenes import CLASS_NAMES
from segserve.training import demo_mask_rcnn
from segserve.training.instance_batches import ObjectBank
from segserve.training.loop import Schedule, built, plan_program, run
from segserve.training.point_losses import coarse_at, point_loss, truth_at, uncertain_points
from segserve.training.rcnn_losses import Rois, Truths, mask_loss, sample_rois
from segserve.training.scene_batches import photographs

RECIPE = "pointrend_demo"
FIRST_SEED = 6_000_000
"""Training scenes are drawn from here on; evaluation and demo use smaller seeds."""

_POINTS = 14 * 14
_ROIS = 48
_MASKS = 48
_MASK_HEAD = "roi_heads.mask_head."


@dataclass(frozen=True)
class Plan:
    """What to train with."""

    schedule: Schedule = field(
        default_factory=lambda: Schedule(400, learning_rate=3e-3, average_decay=0.98)
    )
    batch: int = 4
    scenes: int = 800


def start_from(model: DemoPointRend, checkpoint: Path) -> None:
    """Take everything but the masks from a Mask R-CNN's checkpoint, and keep it from learning.

    Raises
    ------
    NotFound
        There is no such checkpoint; says what writes it.
    InvalidInput
        The checkpoint is damaged.
    """
    if not checkpoint.is_file():
        raise NotFound(
            f"no checkpoint {checkpoint}, which PointRend's training starts from: run "
            "`make train-demo MODEL=mask_rcnn` first"
        )
    detector = model.adapt_checkpoint(load_checkpoint(checkpoint))
    state = model.state_dict()
    state |= {key: value for key, value in detector.items() if not key.startswith(_MASK_HEAD)}
    model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(_MASK_HEAD))


def head_loss(head: PointRendMaskHead, finest: Tensor, rois: Rois, truths: Truths) -> Tensor:
    """Coarse masks everywhere, and refined ones where the coarse are least certain.

    Parameters
    ----------
    head : PointRendMaskHead
    finest : Tensor
        [B, C, h, w] at stride 4.
    rois : Rois
        All on objects.
    truths : Truths
    """
    labels = truths.classes[rois.objects]
    coarse = head.coarse(finest, rois.boxes)
    certain = channel_of(coarse, labels)[:, None]
    points = uncertain_points(lambda at: coarse_at(certain, at), len(labels), _POINTS)
    logits = channel_of(head.judge(finest, rois.boxes, coarse, points), labels)
    refined = point_loss(logits, truth_at(points, rois, truths))
    return mask_loss(coarse, rois, truths) + refined


def loss_of(model: DemoPointRend, images: Tensor, truths: Truths) -> Tensor:
    """Propose as in service, and judge the masks of what is on objects."""
    with torch.no_grad():
        pyramid: list[Tensor] = model.backbone(images)
        size = torch.tensor([images.shape[2:]] * len(images), dtype=torch.float32)
        proposals = model.proposal_generator(pyramid, size)
    rois = sample_rois(proposals, truths, _ROIS).on_objects(_MASKS)
    return head_loss(model.mask_head, pyramid[0], rois, truths)


def train(plan: Plan, seed: int, checkpoint: Path) -> nn.Module:
    """Train and give the averaged model; writes `checkpoint`.

    Parameters
    ----------
    seed : int
        Equal seeds give equal models on one machine, torch version and number of threads.
    checkpoint : Path
        Beside it lies ``mask_rcnn_demo.pth``.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = built(RECIPE, DemoPointRend)
    start_from(model, checkpoint.with_name(f"{demo_mask_rcnn.RECIPE}.pth"))
    print(f"drawing {plan.scenes} scenes ...", flush=True)  # noqa: T201  a person waits
    bank = ObjectBank.draw(FIRST_SEED + seed * plan.scenes, plan.scenes, photographs())
    network = model.train()

    def loss_at(_step: int) -> Tensor:
        images, objects = bank.batch(rng, plan.batch)
        return loss_of(network, torch.from_numpy(images), Truths.of(objects))

    return run(model, plan.schedule, loss_at, checkpoint)


def main() -> int:
    """Train, and write the model repository's entry; 1 when there is nothing to start from."""
    try:
        return plan_program(RECIPE, CLASS_NAMES[1:], Plan(), train)
    except (NotFound, InvalidInput) as error:
        print(f"demo_pointrend: {error.message}", file=sys.stderr)  # noqa: T201  a person waits
        return 1


if __name__ == "__main__":
    sys.exit(main())
