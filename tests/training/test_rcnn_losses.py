"""Mask R-CNN's targets and losses on cases small enough to see through."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detectron2_rcnn import JudgedAnchors  # noqa: E402
from segserve.export.models.proposals import Proposals  # noqa: E402
from segserve.export.models.two_stage import STAGE_TWO  # noqa: E402
from segserve.training import rcnn_losses  # noqa: E402
from segserve.training.box_coding import encode  # noqa: E402
from segserve.training.instance_batches import Objects  # noqa: E402

BACKGROUND = 3


def objects(*corners: tuple[int, int, int, int], classes: list[int]) -> Objects:
    masks = np.zeros((len(corners), 40, 40), np.bool_)
    for mask, (x1, y1, x2, y2) in zip(masks, corners, strict=True):
        mask[y1:y2, x1:x2] = True
    return Objects(masks, np.array(classes, np.int64))


@pytest.fixture
def truths():
    return rcnn_losses.Truths.of(
        [
            objects((0, 0, 16, 16), classes=[2]),
            objects((8, 8, 24, 24), (0, 0, 8, 8), classes=[0, 1]),
        ]
    )


def test_truths_of_all_images_in_one_list(truths) -> None:
    assert [len(boxes) for boxes in truths.boxes] == [1, 2]
    assert truths.classes.tolist() == [2, 0, 1]
    assert truths.masks.sum(dim=(1, 2)).tolist() == [256, 256, 64]


def judged(logits: list[float]) -> JudgedAnchors:
    """One level, one anchor a cell, two cells: the first of image 0's object, the other far."""
    anchors = torch.tensor([[0.0, 0, 16, 16], [24, 24, 40, 40]])
    level = torch.tensor(logits).reshape(1, 1, 1, 2)
    return JudgedAnchors([level], [torch.zeros(1, 4, 1, 2)], [anchors])


def test_the_proposal_loss_rewards_the_truth() -> None:
    one = rcnn_losses.Truths.of([objects((0, 0, 16, 16), classes=[2])])
    right, wrong = (
        rcnn_losses.proposal_loss(judged(logits), one, 4).item()
        for logits in ([9.0, -9.0], [-9.0, 9.0])
    )
    assert right < 1e-3
    assert wrong == pytest.approx(18 / 4, abs=1e-2)


def test_the_proposal_loss_wants_the_offsets_too() -> None:
    one = rcnn_losses.Truths.of([objects((0, 0, 16, 12), classes=[2])])
    assert rcnn_losses.proposal_loss(judged([9.0, -9.0]), one, 4) > 0.05


def proposals() -> Proposals:
    boxes = torch.zeros(2, 3, 4)
    boxes[0, 0] = torch.tensor([1.0, 0, 16, 16])
    boxes[0, 1] = torch.tensor([20.0, 20, 40, 40])
    boxes[1, 0] = torch.tensor([9.0, 8, 24, 24])
    logits = torch.tensor([[1.0, 0.5, -torch.inf], [1.0, -torch.inf, -torch.inf]])
    return Proposals(boxes, logits)


def test_rois_hold_the_truths_and_name_them_across_images(truths) -> None:
    rois = rcnn_losses.sample_rois(proposals(), truths, 8)
    found = {
        (int(box[0]), *box[1:].tolist()): int(o)
        for box, o in zip(rois.boxes, rois.objects, strict=True)
    }
    assert found == {
        (0, 1, 0, 16, 16): 0,
        (0, 0, 0, 16, 16): 0,
        (0, 20, 20, 40, 40): -1,
        (1, 9, 8, 24, 24): 1,
        (1, 8, 8, 24, 24): 1,
        (1, 0, 0, 8, 8): 2,
    }
    some = rois.on_objects(3)
    assert len(some.objects) == len(some.boxes) == 3
    assert (some.objects >= 0).all()


def test_the_box_loss_looks_at_the_own_class(truths) -> None:
    rois = rcnn_losses.Rois(
        torch.tensor([[0.0, 2, 0, 16, 16], [0, 20, 20, 40, 40]]), torch.tensor([0, -1])
    )
    logits = torch.full((2, 4), -9.0)
    logits[0, 2] = logits[1, BACKGROUND] = 9.0
    offsets = torch.full((2, 3, 4), 7.0)  # of other classes and of the background: no matter
    offsets[0, 2] = encode(truths.boxes[0], rois.boxes[:1, 1:], STAGE_TWO)[0]
    assert rcnn_losses.box_loss(logits, offsets.flatten(1), rois, truths) < 1e-4
    assert rcnn_losses.box_loss(logits.flip(0), offsets.flatten(1), rois, truths) > 5
    assert rcnn_losses.box_loss(logits, 0 * offsets.flatten(1), rois, truths) > 0.1


def test_mask_targets_are_cut_out_by_the_roi(truths) -> None:
    # Object 1 covers 8..24; the roi 0..16 sees its lower right quarter.
    rois = rcnn_losses.Rois(torch.tensor([[1.0, 0, 0, 16, 16]]), torch.tensor([1]))
    assert rcnn_losses.mask_targets(rois, truths, 4)[0].tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]


def test_the_mask_loss_looks_at_the_own_class(truths) -> None:
    rois = rcnn_losses.Rois(torch.tensor([[1.0, 0, 0, 16, 16]]), torch.tensor([1]))
    logits = torch.full((1, 3, 4, 4), 5.0)
    logits[0, 0] = (rcnn_losses.mask_targets(rois, truths, 4)[0] * 2 - 1) * 9
    assert rcnn_losses.mask_loss(logits, rois, truths) < 1e-3
    assert rcnn_losses.mask_loss(-logits, rois, truths) > 5
    none = rcnn_losses.Rois(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))
    assert rcnn_losses.mask_loss(logits[:0], none, truths) == 0
