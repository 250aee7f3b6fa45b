import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.models.mask_selection import SelectionRule  # noqa: E402  after the skip
from segserve.export.models.solo import FilterMasks, Solo  # noqa: E402  same
from segserve.export.models.solo_parts import SoloShape  # noqa: E402  same

SHAPE = SoloShape(
    depths=(1, 1, 1, 1),
    width=4,
    channels=8,
    head_channels=8,
    head_depth=1,
    grids=(6, 5, 4, 3, 2),
    classes=3,
    selection=SelectionRule(nms_rows=40, rows=10, cells_at_once=20, final_threshold=0.0),
)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Solo(SHAPE).eval()
        for filters in model.bbox_head.solo_ins_list:
            torch.nn.init.normal_(filters.weight)
    return model


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    entries = json.loads((goldens / "solo_r50_fpn_3x" / "manifest.json").read_text())["entries"]
    with torch.device("meta"):
        state = Solo(SoloShape()).state_dict()
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


@pytest.mark.parametrize("enlarge", [False, True])
def test_a_mask_is_its_channel_of_the_last_convolution(enlarge: bool) -> None:
    filters, biases = torch.randn(7, 3), torch.randn(7)
    features, finest = torch.randn(2, 3, 4, 6), torch.zeros(2, 1, 4, 6)
    cells = torch.tensor([[6, 0], [1, 1]])
    masks = FilterMasks(enlarge=enlarge)([filters, biases, features, finest], cells)
    dense = torch.conv2d(features, filters[:, :, None, None], biases).sigmoid()
    if enlarge:
        dense = torch.nn.functional.interpolate(dense, (8, 12), mode="bilinear")
    expected = torch.stack([dense[b][cells[b]] for b in range(2)])
    assert torch.allclose(masks, expected, atol=1e-6)


def test_the_mask_branch_sees_where_it_is() -> None:
    head = Solo(replace(SHAPE, head_depth=2)).bbox_head
    assert [block.conv.in_channels for block in head.ins_convs] == [10, 8]
    assert [block.conv.in_channels for block in head.cate_convs] == [8, 8]


@pytest.mark.timeout(400)
def test_onnx(check_rows) -> None:
    selection = replace(SHAPE.selection, cells_at_once=10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Solo(replace(SHAPE, grids=(4, 3, 2, 2, 2), selection=selection)).eval()
        for filters in network.bbox_head.solo_ins_list:
            torch.nn.init.normal_(filters.weight)
    check_rows(network, "bbox_head.solo_cate", find_recipe("solo"))
