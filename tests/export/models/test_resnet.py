import pytest

torch = pytest.importorskip("torch")

from segserve.export.models.resnet import Bottleneck, ResNetTrunk  # noqa: E402  after the skip


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
