import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.mmdet_fpn import (  # noqa: E402  after the skip
    ConvNormReLU,
    FeaturePyramid,
    coordinates,
    tower,
)


def test_coordinates_are_those_of_linspace() -> None:
    x, y = coordinates(torch.zeros(2, 5, 7, 4))[1]
    assert torch.allclose(x[3], torch.linspace(-1, 1, 4), atol=1e-6)
    assert torch.allclose(y[:, 2], torch.linspace(-1, 1, 7), atol=1e-6)
    assert coordinates(torch.zeros(1, 1, 1, 1)).flatten().tolist() == [-1, -1]


def test_blocks() -> None:
    block = ConvNormReLU(3, 64, 1)
    assert (block.conv.bias, block.gn.num_groups, block.gn.eps) == (None, 32, 1e-5)
    assert float(block(torch.randn(1, 3, 4, 4)).detach().min()) == 0.0
    assert [b.conv.in_channels for b in tower(5, 8, 3)] == [5, 8, 8]


def identity(pyramid: FeaturePyramid) -> FeaturePyramid:
    """Make lateral convolutions pass channel 0, and 3x3 ones their centre."""
    for conv in (*pyramid.lateral_convs, *pyramid.fpn_convs):
        torch.nn.init.zeros_(conv.conv.weight)
        torch.nn.init.zeros_(conv.conv.bias)
        middle = conv.conv.kernel_size[0] // 2
        conv.conv.weight.data[0, 0, middle, middle] = 1.0
    return pyramid.eval()


def test_coarse_levels_are_repeated_into_fine_ones() -> None:
    fine = torch.zeros(1, 2, 2, 4)
    coarse = torch.tensor([[[[1.0, 2.0]], [[9.0, 9.0]]]])
    with torch.inference_mode():
        levels = identity(FeaturePyramid((2, 2), 2))([fine, coarse])
    assert [tuple(x.shape) for x in levels] == [(1, 2, 2, 4), (1, 2, 1, 2), (1, 2, 1, 1)]
    assert levels[0][0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert levels[2][0, 0].tolist() == [[1]]


def test_extra_convolutions_start_at_the_last_output_and_skip_the_first_stages() -> None:
    stages = [
        torch.zeros(1, 9, 8, 8),
        torch.full((1, 2, 4, 4), -1.0),
        torch.full((1, 2, 2, 2), -2.0),
    ]
    pyramid = identity(FeaturePyramid((2, 2), 2, "conv"))
    with torch.inference_mode():
        levels = pyramid(stages)
    assert [int(x.shape[2]) for x in levels] == [4, 2, 1, 1]
    assert [float(x[0, 0, 0, 0]) for x in levels] == [-3, -2, -2, 0], "ReLU before the last alone"
