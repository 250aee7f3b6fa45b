import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detectron2_deeplab_resnet import (  # noqa: E402  after the skip
    ActiveConvolution,
    DeepLabResNet,
    NormedConvolution,
)


def test_the_last_stage_widens_in_place_of_its_stride() -> None:
    trunk = DeepLabResNet((1, 1, 2, 3), 4).eval()
    assert [block.conv2.dilation[0] for block in trunk.res5] == [2, 4, 8]
    assert [block.conv2.stride[0] for block in (*trunk.res4, *trunk.res5)] == [2, 1, 1, 1, 1]
    with torch.inference_mode():
        low, high = trunk(torch.zeros(1, 3, 65, 97))
    assert low.shape == (1, 16, 17, 25)
    assert high.shape == (1, 128, 5, 7)


def test_a_convolution_is_followed_by_its_norm_and_maybe_by_relu() -> None:
    x = torch.randn(1, 2, 5, 6)
    normed, active = NormedConvolution(2, 3, 3).eval(), ActiveConvolution(2, 3, 3).eval()
    active.load_state_dict(normed.state_dict())
    with torch.inference_mode():
        plain = torch.nn.functional.conv2d(x, normed.weight, padding=1)
        torch.testing.assert_close(normed(x), normed.norm(plain))
        torch.testing.assert_close(active(x), normed(x).clamp(min=0))
