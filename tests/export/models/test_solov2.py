import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.models.mask_selection import SelectionRule  # noqa: E402  after the skip
from segserve.export.models.solo_parts import SoloShape  # noqa: E402  same
from segserve.export.models.solov2 import KernelMasks, MaskFeatureHead, SoloV2  # noqa: E402  same

SHAPE = SoloShape(
    depths=(1, 1, 1, 1),
    width=4,
    channels=8,
    head_channels=8,
    head_depth=1,
    mask_channels=16,
    grids=(6, 5, 4, 3, 2),
    classes=3,
    selection=SelectionRule(nms_rows=40, rows=10, cells_at_once=48),
)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SoloV2(SHAPE).eval()


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    entries = json.loads((goldens / "solov2_r50_fpn_3x" / "manifest.json").read_text())["entries"]
    with torch.device("meta"):
        state = SoloV2(SoloShape(head_channels=512, head_depth=4)).state_dict()
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


def test_a_mask_is_its_kernel_over_the_features() -> None:
    kernels, features = torch.randn(2, 5, 3), torch.randn(2, 3, 4, 6)
    cells = torch.tensor([[4, 0], [1, 1]])
    masks = KernelMasks()([kernels, features], cells)
    for b in range(2):
        for row, cell in enumerate(cells[b]):
            kernel = kernels[b, cell][None, :, None, None]
            expected = torch.conv2d(features[b : b + 1], kernel)[0, 0].sigmoid()
            assert torch.allclose(masks[b, row], expected, atol=1e-6)


def test_the_coarsest_mask_level_sees_where_it_is() -> None:
    head = MaskFeatureHead(SHAPE).eval()
    entries = [branch.conv0.conv.in_channels for branch in head.convs_all_levels]
    assert entries == [8, 8, 8, 10]
    assert [len(branch) for branch in head.convs_all_levels] == [1, 1, 2, 3]
    pyramid = [torch.zeros(1, 8, 16 // 2**i, 24 // 2**i) for i in range(5)]
    with torch.inference_mode():
        features = head(pyramid)
    assert features.shape == (1, 16, 16, 24)
    assert float(features.std()) > 0, "coordinates alone make a difference"


@pytest.mark.timeout(400)
def test_onnx(network, check_rows) -> None:
    check_rows(network, "bbox_head.solo_cate", find_recipe("solov2"))
