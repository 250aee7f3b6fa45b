import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.mobilenetv2 import (  # noqa: E402  after the skip
    InvertedResidual,
    MobileNetV2Trunk,
)


@pytest.mark.parametrize(
    ("stride", "dilations"),
    [(16, {1: 14, 2: 3}), (8, {1: 7, 2: 7, 4: 3})],
)
def test_blocks_dilate_where_the_output_stride_is_reached(stride, dilations) -> None:
    trunk = MobileNetV2Trunk(stride)
    blocks = [m for m in trunk.modules() if isinstance(m, InvertedResidual)]
    counted: dict[int, int] = {}
    for block in blocks:
        counted[block.padding_px] = counted.get(block.padding_px, 0) + 1
    assert counted == dilations


def test_names_of_the_second_half_go_on_counting() -> None:
    trunk = MobileNetV2Trunk(16)
    assert list(dict(trunk.low_level_features.named_children())) == ["0", "1", "2", "3"]
    assert next(iter(dict(trunk.high_level_features.named_children()))) == "4"
    assert (trunk.low_channels, trunk.high_channels) == (24, 320)


def test_the_padding_goes_through_the_expansion() -> None:
    """A block whose expansion adds 1 sees 1, not 0, beyond the border."""
    block = InvertedResidual(1, 1, expansion=1, stride=2, dilation=1)
    expanding = InvertedResidual(2, 2, expansion=6, stride=2, dilation=1).eval()
    torch.nn.init.zeros_(expanding.conv[0][0].weight)
    torch.nn.init.ones_(expanding.conv[0][1].bias)
    torch.nn.init.ones_(expanding.conv[1][0].weight)
    seen = []
    expanding.conv[1][0].register_forward_hook(lambda _m, i, _o: seen.append(i[0]))
    with torch.inference_mode():
        expanding(torch.zeros(1, 2, 3, 3))
    assert seen[0].shape == (1, 12, 5, 5)
    assert torch.equal(seen[0], torch.ones_like(seen[0]))
    assert len(block.conv) == 3, "expansion 1 leaves the 1x1 out"


def test_the_stem_does_not_pad() -> None:
    trunk = MobileNetV2Trunk(16).eval()
    with torch.inference_mode():
        assert trunk.low_level_features[0](torch.zeros(1, 3, 9, 10)).shape[2:] == (4, 4)
        low, high = trunk(torch.zeros(1, 3, 3, 3))
    assert low.shape == (1, 24, 1, 1)
    assert high.shape == (1, 320, 1, 1)
