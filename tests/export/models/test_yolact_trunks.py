"""Trunks: strides, channels, names."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.models.yolact_trunks import Darknet, YolactResNet, trunk  # noqa: E402  same


@pytest.mark.parametrize(
    "network", [YolactResNet((1, 1, 1, 1), 4), Darknet((1, 1, 1, 1, 1), width=4)]
)
def test_strides_8_16_32(network) -> None:
    with torch.inference_mode():
        stages = network.eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(s.shape[2:]) for s in stages] == [(8, 12), (4, 6), (2, 3)]
    assert tuple(s.shape[1] for s in stages) == network.out_channels


def test_names_are_the_checkpoints() -> None:
    with torch.device("meta"):
        resnet, darknet = trunk("resnet50").state_dict(), trunk("darknet53").state_dict()
    assert resnet["layers.3.0.downsample.0.weight"].shape == (2048, 1024, 1, 1)
    assert darknet["_preconv.0.weight"].shape == (32, 3, 3, 3)
    assert darknet["layers.4.0.0.weight"].shape == (1024, 512, 3, 3)
    assert darknet["layers.4.4.conv2.0.weight"].shape == (1024, 512, 3, 3)


def test_an_unknown_trunk() -> None:
    with pytest.raises(InvalidInput, match=r"vgg.*resnet50"):
        trunk("vgg")
