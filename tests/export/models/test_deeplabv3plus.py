import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.models.deeplabv3plus import (  # noqa: E402  after the skip
    AtrousPyramid,
    deeplabv3plus,
)


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101", "mobilenet"])
def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path, backbone: str) -> None:
    manifest = goldens / f"vainf_deeplabv3plus_{backbone}_os16" / "manifest.json"
    entries = json.loads(manifest.read_text())["entries"]
    with torch.device("meta"):
        state = deeplabv3plus(backbone, 21).state_dict()
    assert [(k, list(v.shape)) for k, v in state.items()] == [
        (e["key"], e["shape"]) for e in entries
    ]


def test_the_slim_network_is_small(slim) -> None:
    assert sum(p.numel() for p in slim.parameters()) < 1_200_000
    assert slim.classifier.classifier[-1].out_channels == 7


@pytest.mark.parametrize(("stride", "rates"), [(8, [1, 12, 24, 36]), (16, [1, 6, 12, 18])])
def test_the_rates_follow_the_stride(stride: int, rates: list[int]) -> None:
    pyramid = deeplabv3plus("resnet_slim", 2, stride).classifier.aspp
    assert [pyramid.convs[i][0].dilation[0] for i in range(4)] == rates


def test_the_pooled_branch_repeats_the_mean() -> None:
    pyramid = AtrousPyramid(4, 2, (1, 2, 3)).eval()
    joined = []
    pyramid.project.register_forward_pre_hook(lambda _m, i: joined.append(i[0]))
    x = torch.arange(4 * 6, dtype=torch.float32).reshape(1, 4, 2, 3)
    with torch.inference_mode():
        pyramid(x)
        mean = pyramid.convs[4](x)
    assert torch.equal(joined[0][:, 8:], mean.expand(-1, -1, 2, 3))


def test_odd_sizes_and_batches(slim) -> None:
    with torch.inference_mode():
        assert slim(torch.zeros(2, 3, 75, 101)).shape == (2, 7, 19, 26)
        assert slim(torch.zeros(1, 3, 3, 3)).shape == (1, 7, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resnet18", 21), "resnet18.*resnet50"),
        (("mobilenet", 0), "num_classes: got 0"),
        (("mobilenet", 2, 32), "got 32, expected 8 or 16"),
    ],
)
def test_wrong_arguments(arguments, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        deeplabv3plus(*arguments)


def test_fresh_weights_are_in_training_mode() -> None:
    model = deeplabv3plus("resnet_slim", 3)
    assert model.training
    assert float(model.classifier.classifier[-1].bias.detach().abs().sum()) == 0.0
