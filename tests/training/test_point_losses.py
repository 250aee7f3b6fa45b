"""Where PointRend looks while it learns, and what is right there."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.training import point_losses  # noqa: E402
from segserve.training.rcnn_losses import Rois, Truths  # noqa: E402


def test_three_quarters_of_the_points_are_the_least_certain() -> None:
    torch.manual_seed(0)
    points = point_losses.uncertain_points(lambda at: (at[..., 0] - 0.5) * 10, 2, 100)
    assert points.shape == (2, 100, 2)
    far = (points[..., 0] - 0.5).abs()
    # 75 of 300 even draws lie within an eighth of the line, give or take; the others anywhere.
    assert (far[:, :75] < 0.18).all()
    assert (far[:, 75:] > 0.3).any()
    assert ((points >= 0) & (points <= 1)).all()


def test_coarse_masks_are_read_row_by_row() -> None:
    coarse = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).expand(2, 1, 2, 2) * torch.tensor(
        [1.0, -1.0]
    ).reshape(2, 1, 1, 1)
    at = torch.tensor([[[0.25, 0.25], [0.5, 0.5]]]).expand(2, -1, -1)
    assert point_losses.coarse_at(coarse, at).tolist() == [[1, 2], [-1, -2]]


def test_truth_at_points_of_the_roi() -> None:
    masks = torch.zeros(2, 40, 40)
    masks[1, 8:24, 8:24] = 1
    truths = Truths((torch.zeros(0, 4), torch.zeros(2, 4)), torch.tensor([0, 0]), masks)
    rois = Rois(torch.tensor([[1.0, 0, 0, 16, 16]]), torch.tensor([1]))
    at = torch.tensor([[[0.25, 0.75], [0.75, 0.75], [0.47, 0.9], [0.53, 0.9]]])
    assert point_losses.truth_at(at, rois, truths).tolist() == [[0, 1, 0, 1]]


def test_the_loss_rewards_the_truth() -> None:
    wanted = torch.tensor([[0.0, 1.0]])
    assert point_losses.point_loss((wanted * 2 - 1) * 9, wanted) < 1e-3
    assert point_losses.point_loss((1 - wanted * 2) * 9, wanted) > 8
    assert point_losses.point_loss(wanted[:0], wanted[:0]) == 0
