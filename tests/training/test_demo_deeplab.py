"""The training program: its schedule, its loss, and two real steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.scenes import CLASS_NAMES  # noqa: E402
from segserve.training import demo_deeplab  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402
from segserve.training.scene_batches import IGNORED, SceneBank  # noqa: E402


def test_the_loss_ignores_padding_and_rewards_the_truth():
    labels = torch.randint(0, 7, (2, 16, 16))
    right = torch.nn.functional.one_hot(labels, 7).permute(0, 3, 1, 2) * 20.0
    assert demo_deeplab.loss_of(right, labels) < 0.05
    assert demo_deeplab.loss_of(-right, labels) > 1.0
    padded = labels.clone()
    padded[:, 8:] = IGNORED
    wrong_below = right.clone()
    wrong_below[:, :, 8:] *= -1
    assert demo_deeplab.loss_of(wrong_below, padded) < 0.05


def test_batches_are_seeded_and_normalised():
    bank = SceneBank.draw(5, 3, ())
    first, second = (bank.batch(np.random.default_rng(1), 4, 64) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert first[0].shape == (4, 3, 64, 64)
    assert first[0].dtype == np.float32
    assert set(np.unique(first[1])) <= {*range(len(CLASS_NAMES)), IGNORED}
    assert np.abs(first[0]).max() < 4


def test_two_steps_write_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_deeplab, "photographs", tuple)
    plan = demo_deeplab.Plan(Schedule(2), batch=2, crop_px=64, scenes=3)
    path = tmp_path / "demo.pth"
    model = demo_deeplab.train(plan, 0, path)
    kept = torch.load(path, weights_only=True)["model_state"]
    assert kept.keys() == model.state_dict().keys()
