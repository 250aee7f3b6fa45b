"""PointRend's masks learn; what they stand on does not."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import NotFound  # noqa: E402
from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: E402
from segserve.export.models.demo_rcnn import demo_mask_rcnn, demo_pointrend  # noqa: E402
from segserve.export.models.detectron2_rcnn import RcnnWidths  # noqa: E402
from segserve.export.models.pointrend_instance import PointRendMaskHead  # noqa: E402
from segserve.training import demo_pointrend as demo  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402
from segserve.training.rcnn_losses import Rois, Truths  # noqa: E402


def test_steps_on_one_square_lower_the_loss() -> None:
    torch.manual_seed(0)
    head = PointRendMaskHead(RcnnWidths(pyramid=4, fully_connected=8), 2)
    masks = torch.zeros(1, 32, 32)
    masks[0, 8:24, 8:24] = 1
    finest = torch.nn.functional.avg_pool2d(masks[:, None], 4).expand(-1, 4, -1, -1)
    truths = Truths((torch.tensor([[8.0, 8, 24, 24]]),), torch.tensor([1]), masks)
    rois = Rois(torch.tensor([[0.0, 0, 4, 28, 32]]), torch.tensor([0]))
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = demo.head_loss(head, finest, rois, truths)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_without_the_detector_there_is_no_start(tmp_path) -> None:
    with pytest.raises(NotFound, match=r"mask_rcnn_demo\.pth"):
        demo.train(demo.Plan(Schedule(1)), 0, tmp_path / "pointrend_demo.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "run `make train-demo MODEL=mask_rcnn` first"),
        (b"damaged", "mask_rcnn_demo.pth"),
    ],
)
def test_a_program_without_a_start_ends_in_one_line(
    tmp_path, monkeypatch, capsys, content, said
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: None)
    if content is not None:
        (tmp_path / "mask_rcnn_demo.pth").write_bytes(content)
    checkpoint = str(tmp_path / "pointrend_demo.pth")
    words = ["demo_pointrend", "--out", str(tmp_path / "out"), "--steps", "1"]
    monkeypatch.setattr("sys.argv", [*words, "--checkpoint", checkpoint])
    assert demo.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("demo_pointrend: ")
    assert said in line
    assert not (tmp_path / "out").exists()


def test_two_steps_change_the_masks_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "photographs", tuple)
    torch.manual_seed(4)
    detector = demo_mask_rcnn(6).state_dict()
    torch.save({"model_state": detector}, tmp_path / "mask_rcnn_demo.pth")
    demo.train(demo.Plan(Schedule(2), batch=2, scenes=2), 0, tmp_path / "pointrend_demo.pth")
    state = load_checkpoint(tmp_path / "pointrend_demo.pth")
    match_state_dict(demo_pointrend(6), state)
    shared = [key for key in detector if "mask_head" not in key]
    assert all(torch.equal(state[key], detector[key]) for key in shared)
    assert len(shared) > 100
