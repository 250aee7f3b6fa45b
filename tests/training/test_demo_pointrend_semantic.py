"""PointRend's points and losses, and two real steps."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.pointrend_semantic import (  # noqa: E402
    PointRendSemantic,
    PointRendWidths,
)
from segserve.training import demo_pointrend_semantic as demo  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402
from segserve.training.scene_batches import IGNORED  # noqa: E402

SLIM = PointRendWidths((1, 1, 1, 1), stem=4, pyramid=8, coarse=32, points=64)


def test_three_quarters_of_the_points_lie_where_two_classes_are_close() -> None:
    torch.manual_seed(0)
    logits = torch.zeros(1, 3, 64, 64)
    logits[0, 0] = torch.linspace(-8, 8, 64)
    logits[0, 2] = -9.0
    points = demo.uncertain_points(logits, 400)
    assert points.shape == (1, 400, 2)
    from_border = (points[0, :, 0] - 0.5).abs()
    # the nearest 300 of 1,200: about an eighth of the width, farther where the border fades
    assert from_border[:300].max() < 0.2
    assert from_border[300:].max() > 0.4


def test_labels_are_those_of_the_pixels_that_points_lie_in() -> None:
    labels = torch.arange(6).reshape(1, 2, 3)
    points = torch.tensor([[[0.0, 0.0], [0.99, 0.49], [0.34, 0.51], [1.0, 1.0]]])
    assert demo.labels_at(labels, points).tolist() == [[0, 2, 4, 5]]


def test_the_point_head_learns_from_its_points_and_padding_teaches_nothing() -> None:
    torch.manual_seed(0)
    model = PointRendSemantic(7, SLIM, learns_norms=True).train()
    images = torch.randn(2, 3, 64, 64)
    demo.loss_of(model, images, torch.randint(0, 7, (2, 64, 64)), 32).backward()
    weight = model.sem_seg_head.point_head.predictor.weight
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    only_padding = torch.full((2, 64, 64), IGNORED)
    only_padding[:, 0] = 1
    loss = demo.loss_of(model, images, only_padding, 32)
    assert torch.isfinite(loss)


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = PointRendSemantic(7, SLIM, learns_norms=True).train()
    demo.initialise(model)
    images = torch.randn(2, 3, 32, 32)
    labels = (images[:, 0] > 0).long()
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = demo.loss_of(model, images, labels, 64)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_two_steps_write_a_checkpoint(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "photographs", tuple)
    plan = demo.Plan(Schedule(2), batch=2, crop_px=64, scenes=3, points=16)
    model = demo.train(plan, 0, tmp_path / "x.pth")
    kept = torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.isfinite(value).all() for value in kept.values())
