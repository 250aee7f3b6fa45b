import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.models.polarmask import (  # noqa: E402  after the skip
    PolarMask,
    PolarSelection,
    PolarShape,
    points_of,
)

SHAPE = PolarShape(
    depths=(1, 1, 1, 1), width=4, channels=8, head_depth=1, classes=3, per_level=20, rows=10
)
FAR = -50.0


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    manifest = goldens / "polarmask_r50_768_1x" / "manifest.json"
    entries = json.loads(manifest.read_text())["entries"]
    with torch.device("meta"):
        state = PolarMask(PolarShape()).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {e["key"]: e["shape"] for e in entries}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch.range, which the original calls
def test_rays_turn_by_the_originals_angles() -> None:
    """``polarmask_head.py``: ``torch.range(0, 350, 10) / 180 * math.pi``."""
    angles = torch.range(0, 350, 10) / 180 * math.pi
    turns = PolarSelection(PolarShape()).turns
    assert torch.equal(turns, torch.stack([angles.sin(), angles.cos()]))
    assert turns[0, 18] < 0  # as float32 has it: a corner on a whole number is cut to the one below


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_images_of_a_batch_do_not_touch_and_torchscript_agrees() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PolarMask(SHAPE).eval()
        image = torch.randn(5, 3, 96, 64)
    for conv in (network.bbox_head.polar_reg, network.bbox_head.polar_mask):
        torch.nn.init.constant_(conv.bias, 2.5)
    sizes = torch.tensor([[50.0, 30], [96, 64], [200, 90], [48, 64], [10, 10]])
    scripted = torch.jit.script(network)
    with torch.inference_mode():
        together = network(image, sizes)
        alone = [network(image[i : i + 1], sizes[i : i + 1]) for i in range(5)]
        compiled = scripted(image, sizes)
    assert int(together[3].sum()) > 10
    assert together[4].shape == (5, 10, 2, 36)
    for i, column in enumerate(together):
        single = torch.cat([one[i] for one in alone])
        assert torch.allclose(column.double(), single.double(), atol=1e-3)
        assert torch.equal(compiled[i], column)


def level(size, classes=2):
    """Maps of a level without any object."""
    height, width = size
    return [
        torch.full((1, classes, height, width), FAR),
        torch.full((1, 1, height, width), FAR),
        torch.full((1, 4, height, width), 4.0),
        torch.full((1, 36, height, width), 8.0),
    ]


def select(maps, scale=(1.0, 1.0), **shape):
    chosen = PolarSelection(PolarShape(classes=2, rows=4, **shape))
    return [x[0] for x in chosen(maps, torch.tensor([63.0, 47.0]), torch.tensor([scale]))]


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_one_object() -> None:
    maps = [level((6, 8)), level((3, 4))]
    maps[1][0][0, 1, 1, 2] = logit(0.5)
    maps[1][1][0, 0, 1, 2] = 0.0
    maps[1][2][0, :, 1, 2] = torch.tensor([3.0, 4, 5, 60])
    boxes, scores, labels, valid, contours = select(maps)
    # Column 2 and row 1 of stride 16: the point (40, 24); the last side leaves the input.
    assert boxes[0].tolist() == [37, 20, 45, 47]
    assert float(scores[0]) == pytest.approx(0.5 * (0.5 + 0.5))
    assert int(valid) == 1
    assert labels.tolist() == [1, -1, -1, -1]
    # Rays turn from straight down (0) over right (9) to up (18) and left (27).
    for ray, corner in ((0, (40, 32)), (9, (48, 24)), (18, (40, 16)), (27, (32, 24))):
        assert contours[0, :, ray].tolist() == pytest.approx(corner, abs=1e-4)
    assert float(contours[1:].abs().sum() + boxes[1:].abs().sum()) == 0


def test_scores_may_exceed_one_and_the_threshold_is_of_the_class_alone() -> None:
    maps = [level((1, 8))]
    maps[0][0][0, 0, 0, [0, 4]] = torch.tensor([logit(0.999), logit(0.049)])
    maps[0][1][:] = -FAR
    _, scores, _, valid, _ = select(maps)
    assert int(valid) == 1
    assert float(scores[0]) == pytest.approx(0.999 * 1.5, abs=1e-5)


@pytest.mark.parametrize(("scale", "kept"), [((1.0, 1.0), 2), ((8.0, 8.0), 1)])
def test_overlaps_count_in_source_pixels(scale, kept: int) -> None:
    """Boxes of 17 and 8 apart: with "+ 1" of source pixels they are 18 or 25 network pixels."""
    maps = [level((1, 8))]
    maps[0][0][0, 0, 0, [2, 3]] = torch.tensor([logit(0.9), logit(0.8)])
    maps[0][2][0, :, 0] = torch.tensor([8.5, 2, 8.5, 2])[:, None]
    assert int(select(maps, scale)[3]) == kept


def test_other_classes_do_not_suppress() -> None:
    maps = [level((1, 8))]
    maps[0][0][0, :, 0, 2] = torch.tensor([logit(0.9), logit(0.8)])
    assert select(maps)[2].tolist() == [0, 1, -1, -1]


def test_only_the_best_points_of_a_level_are_looked_at() -> None:
    """By class times centerness, so that the likelier class loses here."""
    maps = [level((1, 8))]
    maps[0][0][0, 0, 0, [0, 7]] = torch.tensor([logit(0.9), logit(0.3)])
    maps[0][1][0, 0, 0] = torch.tensor([logit(0.01)] + [0.0] * 6 + [logit(0.9)])
    boxes, _, _, valid, _ = select(maps, per_level=1)
    assert int(valid) == 1
    assert boxes[0, 0] == 56 + 4 - 4


def test_points_lie_in_the_middle_of_cells() -> None:
    points = points_of(torch.zeros(1, 1, 2, 3), 8)
    assert points.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


@pytest.mark.timeout(400)
def test_onnx(check_rows) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PolarMask(SHAPE).eval()
    for conv in (network.bbox_head.polar_reg, network.bbox_head.polar_mask):
        torch.nn.init.constant_(conv.bias, 2.5)
    sizes = np.array([[50, 30], [96, 64], [200, 90], [48, 64], [10, 10]], np.float32)
    check_rows(network, "bbox_head.polar_cls", find_recipe("polarmask"), source_size=sizes)
