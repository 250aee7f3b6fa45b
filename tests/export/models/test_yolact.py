"""Tiny YOLACTs: anchors, shapes, keys."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.yolact import Yolact, YolactShape, priors  # noqa: E402  after the skip


@pytest.fixture(scope="module")
def tiny() -> Yolact:
    torch.manual_seed(0)
    return Yolact(YolactShape(trunk="resnet_slim", size_px=100, channels=16, classes=3)).eval()


def test_anchors_of_the_published_sizes() -> None:
    assert YolactShape().level_sides == (69, 35, 18, 9, 5)
    assert YolactShape().scales_px == (24, 48, 96, 192, 384)
    assert YolactShape(size_px=400).scales_px == (17, 34, 69, 139, 279)
    assert YolactShape(size_px=700).scales_px == (30, 61, 122, 244, 488)
    assert priors(YolactShape()).shape == (19248, 4)


def test_anchors_run_by_row_column_ratio_and_are_square() -> None:
    found = priors(YolactShape(size_px=100))
    assert torch.equal(found[:, 2], found[:, 3])
    assert found[0].tolist() == pytest.approx([0.5 / 13, 0.5 / 13, 0.04, 0.04])
    assert found[1, 2].item() == pytest.approx(0.04 * 0.5**0.5)
    assert found[3, :2].tolist() == pytest.approx([1.5 / 13, 0.5 / 13])
    assert found[3 * 13, :2].tolist() == pytest.approx([0.5 / 13, 1.5 / 13])


def test_outputs_have_fixed_rows(tiny) -> None:
    with torch.inference_mode():
        boxes, scores, labels, valid, coefficients, prototypes = tiny(torch.zeros(2, 3, 100, 100))
    assert boxes.shape == (2, 100, 4)
    assert scores.shape == labels.shape == (2, 100)
    assert (valid.shape, valid.dtype) == ((2,), torch.int64)
    assert coefficients.shape == (2, 100, 32)
    assert prototypes.shape == (2, 26, 26, 32)
    assert ((labels == -1) == (torch.arange(100) >= valid[:, None])).all()
    assert (prototypes >= 0).all()


def test_prototypes_may_be_negative_where_the_shape_says_so() -> None:
    torch.manual_seed(0)
    model = Yolact(YolactShape("resnet_slim", 64, 3, 16, prototypes=4, rectified=False)).eval()
    with torch.inference_mode():
        prototypes = model(torch.ones(1, 3, 64, 64))[-1]
    assert prototypes.shape == (1, 16, 16, 4)
    assert (prototypes < 0).any()


def test_a_batch_is_its_images(tiny) -> None:
    images = torch.randn(3, 3, 100, 100, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = tiny(images)
        for n in range(3):
            for many, one in zip(together, tiny(images[n : n + 1]), strict=True):
                assert torch.allclose(many[n].float(), one[0].float(), atol=1e-4)


def test_old_checkpoints_lose_what_they_hold_twice(tiny) -> None:
    state = dict(tiny.state_dict())
    old = state | {
        "backbone.layer1.0.conv1.weight": torch.zeros(1),
        "fpn.downsample_layers.2.weight": torch.zeros(1),
        "surprise": torch.zeros(1),
    }
    assert set(tiny.adapt_checkpoint(old)) == {*state, "surprise"}


@pytest.mark.parametrize(
    ("folder", "trunk"), [("yolact_resnet50", "resnet50"), ("yolact_resnet101_base", "resnet101")]
)
def test_names_and_shapes_are_those_of_the_checkpoints(
    goldens: Path, folder: str, trunk: str
) -> None:
    entries = json.loads((goldens / folder / "manifest.json").read_text())["entries"]
    with torch.device("meta"):
        state = Yolact(YolactShape(trunk=trunk)).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {e["key"]: e["shape"] for e in entries}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_agrees(tiny) -> None:
    image = torch.randn(2, 3, 100, 100, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        for ours, theirs in zip(torch.jit.script(tiny)(image), tiny(image), strict=True):
            assert torch.allclose(ours.double(), theirs.double(), atol=1e-5)
