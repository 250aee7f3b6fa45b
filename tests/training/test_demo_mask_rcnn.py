"""Mask R-CNN learns one scene."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: E402
from segserve.export.models.demo_rcnn import demo_mask_rcnn  # noqa: E402
from segserve.export.models.detectron2_rcnn import RcnnWidths  # noqa: E402
from segserve.export.models.frozen_norm import thaw_batch_norms  # noqa: E402
from segserve.export.models.mask_rcnn_detectron2 import Detectron2MaskRcnn  # noqa: E402
from segserve.training import demo_mask_rcnn as demo  # noqa: E402
from segserve.training.instance_batches import Objects  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402
from segserve.training.rcnn_losses import Truths  # noqa: E402

SMALL = RcnnWidths((1, 1, 1, 1), stem=4, pyramid=8, fully_connected=16)


def scene():
    """Two squares of two colours, 64 x 96."""
    image = torch.zeros(1, 3, 64, 96)
    image[0, 0, 8:40, 8:40], image[0, 2, 20:60, 50:90] = 2.0, 2.0
    masks = np.zeros((2, 64, 96), np.bool_)
    masks[0, 8:40, 8:40] = masks[1, 20:60, 50:90] = True
    return image, Truths.of([Objects(masks, np.array([0, 4]))])


def test_steps_on_one_scene_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = Detectron2MaskRcnn(6, SMALL)
    thaw_batch_norms(model)
    demo.initialise(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    image, truths = scene()
    losses = []
    for _ in range(30):
        loss = demo.loss_of(model.train(), image, truths)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])


def test_every_part_learns() -> None:
    torch.manual_seed(0)
    model = Detectron2MaskRcnn(6, SMALL)
    thaw_batch_norms(model)
    demo.initialise(model)
    demo.loss_of(model.train(), *scene()).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert [name for name in idle if "fpn_output5" not in name] == []


def test_the_start_finds_objects_rare() -> None:
    model = Detectron2MaskRcnn(6, SMALL)
    thaw_batch_norms(model)
    demo.initialise(model)
    bias = model.proposal_generator.rpn_head.objectness_logits.bias
    assert torch.sigmoid(bias).tolist() == pytest.approx([0.01] * 3)


def test_two_steps_write_a_checkpoint_that_fits_the_frozen_network(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "photographs", tuple)
    demo.train(demo.Plan(Schedule(2), batch=2, scenes=2), 0, tmp_path / "x.pth")
    state = load_checkpoint(tmp_path / "x.pth")
    assert all(torch.isfinite(value).all() for value in state.values())
    match_state_dict(demo_mask_rcnn(6), state)
