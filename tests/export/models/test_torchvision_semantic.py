import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.models.torchvision_semantic import deeplabv3, fcn  # noqa: E402  same

SLIM = {"width": 8}


@pytest.mark.parametrize("build", [deeplabv3, fcn])
def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path, build) -> None:
    manifest = goldens / f"torchvision_{build.__name__}_resnet50" / "manifest.json"
    entries = json.loads(manifest.read_text())["entries"]
    with torch.device("meta"):
        state = build(21).state_dict()
    assert [(k, list(v.shape)) for k, v in state.items()] == [
        (e["key"], e["shape"]) for e in entries
    ]


@pytest.mark.parametrize("build", [deeplabv3, fcn])
def test_odd_sizes_and_batches_at_stride_8(build) -> None:
    model = build(4, **SLIM).eval()
    images = torch.rand(3, 3, 75, 101)
    with torch.inference_mode():
        together = model(images)
        alone = model(images[1:2])
    assert together.shape == (3, 4, 10, 13)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_the_rates_are_those_of_stride_8() -> None:
    pyramid = deeplabv3(2, **SLIM).classifier[0]
    assert [pyramid.convs[i][0].dilation[0] for i in range(4)] == [1, 12, 24, 36]


def test_the_deeper_network() -> None:
    assert len(fcn(2, 101, **SLIM).backbone.layer3) == 23
    with pytest.raises(InvalidInput, match="depth: got 18"):
        deeplabv3(2, 18)


def test_the_auxiliary_head_changes_nothing() -> None:
    model = fcn(2, **SLIM).eval()
    image = torch.rand(1, 3, 33, 33)
    with torch.inference_mode():
        before = model(image)
        model.aux_classifier[0].weight.zero_()
        assert torch.equal(model(image), before)
