import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.resnet import (  # noqa: E402  after the skip
    Bottleneck,
    ResNetPyramid,
    ResNetTrunk,
)


@pytest.mark.parametrize(
    ("dilate", "stride"),
    [((False, False, False), 32), ((False, False, True), 16), ((False, True, True), 8)],
)
def test_dilation_takes_the_place_of_stride(dilate, stride: int) -> None:
    trunk = ResNetTrunk((1, 1, 1, 1), dilate).eval()
    with torch.inference_mode():
        low, high = trunk(torch.zeros(1, 3, 64, 96))
    assert low.shape == (1, 256, 16, 24)
    assert high.shape == (1, 2048, 64 // stride, 96 // stride)


def test_the_first_block_of_a_dilated_stage_keeps_the_dilation_before() -> None:
    trunk = ResNetTrunk((1, 1, 2, 3), (False, True, True))
    assert [block.conv2.dilation[0] for block in trunk.layer3] == [1, 2]
    assert [block.conv2.dilation[0] for block in trunk.layer4] == [2, 4, 4]


def test_the_stride_sits_on_the_3x3() -> None:
    block = Bottleneck(64, 32, 2, 1)
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert block.downsample is not None


def test_the_shortcut_is_added_before_the_last_relu() -> None:
    block = Bottleneck(128, 32, 1, 1).eval()
    assert block.downsample is None
    torch.nn.init.zeros_(block.bn3.weight)
    x = torch.tensor([-1.0, 2.0]).repeat(64).reshape(1, 128, 1, 1)
    with torch.inference_mode():
        assert torch.equal(block(x), x.clamp(min=0))


def test_in_the_first_resnets_the_stride_sat_on_the_1x1() -> None:
    trunk = ResNetPyramid((1, 1, 2, 1), (False, False, False), 2, stride_on_1x1=True)
    first, second = trunk.layer3
    assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
    assert (second.conv1.stride, second.conv2.stride) == ((1, 1), (1, 1))


def test_a_pyramid_gives_all_stages() -> None:
    trunk = ResNetPyramid((1, 1, 1, 1), (False, False, False), 2).eval()
    with torch.inference_mode():
        stages = trunk(torch.zeros(1, 3, 64, 97))
    shapes = [tuple(x.shape[1:]) for x in stages]
    assert shapes == [(8, 16, 25), (16, 8, 13), (32, 4, 7), (64, 2, 4)]
