"""YOLACT's losses, by hand."""

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.training.yolact_losses import class_loss, mask_loss, presence_loss  # noqa: E402


def test_only_the_three_hardest_backgrounds_of_an_object_count() -> None:
    logits = torch.zeros(1, 8, 3)
    logits[0, 0, 2] = 30.0  # the object, right
    logits[0, 1:4, 0] = -30.0  # three backgrounds, quite wrong
    logits[0, 4:, 0] = -5.0  # four less so: not counted
    classes = torch.tensor([[2, 0, 0, 0, 0, 0, 0, 0]])
    wrong = 30 + math.log(2)
    assert class_loss(logits, classes).item() == pytest.approx(3 * wrong, rel=1e-5)
    classes[0, 1] = -2  # ignored: the next takes its place
    less = math.log(2 + math.exp(-5.0)) + 5
    assert class_loss(logits, classes).item() == pytest.approx(2 * wrong + less, rel=1e-5)


def test_the_class_loss_is_per_object() -> None:
    logits = torch.zeros(1, 2, 3)
    assert class_loss(logits, torch.tensor([[1, 2]])).item() == pytest.approx(math.log(3))
    assert class_loss(logits, torch.tensor([[0, 0]])).item() == pytest.approx(2 * math.log(3))


def test_the_mask_loss_sees_the_box_alone() -> None:
    truth = torch.zeros(1, 4, 4)
    truth[0, :2] = 1
    prototypes = torch.where(truth[0] > 0, 20.0, -20.0)[..., None].clone()
    box = torch.tensor([[0.0, 0.0, 0.5, 1.0]])  # the two columns at the left
    coefficients = torch.ones(1, 1)
    assert mask_loss(prototypes, coefficients, truth, box).item() < 1e-6
    assert mask_loss(prototypes, -coefficients, truth, box).item() == pytest.approx(20, rel=1e-4)
    prototypes[:, 2:] *= -1  # wrong beside the box
    assert mask_loss(prototypes, coefficients, truth, box).item() < 1e-6


def test_a_box_between_pixels_loses_nothing() -> None:
    got = mask_loss(
        torch.ones(2, 2, 1), torch.ones(1, 1), torch.ones(1, 2, 2), torch.full((1, 4), 0.3)
    )
    assert got.tolist() == [0]


def test_the_presence_loss_rewards_the_truth() -> None:
    truth = torch.zeros(1, 2, 2, 2)
    truth[0, 1, 0] = 1
    right = (truth * 2 - 1) * 20
    assert presence_loss(right, truth) < 1e-6
    assert presence_loss(-right, truth).item() == pytest.approx(20, rel=1e-4)
