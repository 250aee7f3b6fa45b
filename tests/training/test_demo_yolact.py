"""YOLACT's training: two real steps, and a slim network that learns one picture."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.yolact import Yolact, YolactShape  # noqa: E402
from segserve.export.recipes.yolact_demo import YolactDemoRecipe  # noqa: E402
from segserve.training import demo_yolact  # noqa: E402
from segserve.training.instance_batches import Objects  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402


def test_pictures_are_stretched_and_their_boxes_with_them() -> None:
    image = np.zeros((1, 3, 2, 4), np.float32)
    image[..., 2:] = 1
    got = demo_yolact.stretched(image, 4)
    assert got.shape == (1, 3, 4, 4)
    assert got[0, 0, 0].tolist() == [0, 0, 1, 1]


def test_training_on_one_picture_lowers_the_loss() -> None:
    torch.manual_seed(0)
    shape = YolactShape(trunk="resnet_slim", size_px=64, classes=6, channels=16, prototypes=8)
    model = Yolact(shape).train()
    demo_yolact.initialise(model)
    masks = np.zeros((1, 48, 64), np.bool_)
    masks[0, 10:34, 20:52] = True
    image = np.zeros((2, 3, 48, 64), np.float32)
    image[:, :, masks[0]] = 2.0
    inputs = demo_yolact.stretched(image, 64)
    objects = [Objects(masks, np.array([3]))] * 2
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = demo_yolact.loss_of(model, inputs, objects)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_steps_are_shared_out_among_the_schedules() -> None:
    plan = demo_yolact.Plan()
    assert [one.steps for one in plan.shared_out(plan.steps).schedules] == [1000, 500]
    assert [one.steps for one in plan.shared_out(30).schedules] == [20, 10]


def test_a_picture_of_nothing_has_a_loss_with_gradients() -> None:
    model = YolactDemoRecipe().build().train()
    nothing = Objects(np.zeros((0, 64, 64), np.bool_), np.zeros(0, np.int64))
    loss = demo_yolact.loss_of(model, torch.zeros(2, 3, 320, 320), [nothing] * 2)
    loss.backward()
    assert torch.isfinite(loss)
    assert model.backbone.conv1.weight.grad is not None


def test_two_schedules_write_a_checkpoint(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo_yolact, "photographs", tuple)
    plan = demo_yolact.Plan((Schedule(1), Schedule(1)), batch=2, scenes=3)
    model = demo_yolact.train(plan, 0, tmp_path / "x.pth")
    kept = torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]
    assert (
        kept.keys() == YolactDemoRecipe().build().state_dict().keys() == model.state_dict().keys()
    )
    assert all(torch.isfinite(value).all() for value in kept.values())
