import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.models.decoupled_solo import (  # noqa: E402  after the skip
    CrossMasks,
    DecoupledSolo,
)
from segserve.export.models.mask_selection import SelectionRule  # noqa: E402  same
from segserve.export.models.solo_parts import SoloShape  # noqa: E402  same

SHAPE = SoloShape(
    depths=(1, 1, 1, 1),
    width=4,
    channels=8,
    head_channels=8,
    head_depth=1,
    grids=(6, 5, 4, 3, 2),
    classes=3,
    # The product of two middling probabilities is a quarter.
    selection=SelectionRule(nms_rows=40, rows=10, cells_at_once=48, mask_threshold=0.25),
)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DecoupledSolo(SHAPE).eval()


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    folder = goldens / "decoupled_solo_r50_fpn_3x"
    entries = json.loads((folder / "manifest.json").read_text())["entries"]
    with torch.device("meta"):
        state = DecoupledSolo(SoloShape()).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {e["key"]: e["shape"] for e in entries}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_images_of_a_batch_do_not_touch_and_torchscript_agrees(network) -> None:
    image = torch.randn(5, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    scripted = torch.jit.script(network)
    with torch.inference_mode():
        together = network(image)
        alone = [network(one[None]) for one in image]
        compiled = scripted(image[:2])
        pair = network(image[:2])
    assert int(together[2].sum()) > 10
    assert together[3].shape == (5, 10, 24, 16)
    for i, column in enumerate(together):
        single = torch.cat([one[i] for one in alone])
        assert torch.allclose(column.double(), single.double(), atol=1e-5)
        assert torch.equal(compiled[i], pair[i])


def test_a_mask_is_its_column_times_its_row() -> None:
    columns, rows = torch.rand(2, 5, 3, 4), torch.rand(2, 5, 3, 4)
    # Grids of 3 and 2: cell 5 is row 1, column 2 of the first; cell 10 is row 0, column 1 of the
    # second, whose lines begin at 3.
    masks = CrossMasks((3, 2))([columns, rows], torch.tensor([[5, 10], [0, 12]]))
    assert torch.equal(masks[0, 0], columns[0, 2] * rows[0, 1])
    assert torch.equal(masks[0, 1], columns[0, 4] * rows[0, 3])
    assert torch.equal(masks[1, 0], columns[1, 0] * rows[1, 0])
    assert torch.equal(masks[1, 1], columns[1, 4] * rows[1, 4])


def test_each_branch_sees_one_coordinate(network) -> None:
    seen = {}
    for axis in "xy":
        tower = getattr(network.bbox_head, f"ins_convs_{axis}")
        tower.register_forward_pre_hook(
            lambda _m, i, axis=axis: seen.update({axis: seen.get(axis, i[0][0, -1])})
        )
    with torch.inference_mode():
        network(torch.zeros(1, 3, 96, 64))
    assert torch.equal(seen["x"][0], seen["x"][1])
    assert torch.equal(seen["y"][:, 0], seen["y"][:, 1])
    assert seen["x"][0, 0] == seen["y"][0, 0] == -1


@pytest.mark.timeout(400)
def test_onnx(network, check_rows) -> None:
    check_rows(network, "bbox_head.dsolo_cate", find_recipe("decoupled_solo"))
