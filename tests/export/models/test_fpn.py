import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
from torch import nn  # noqa: E402  after the skip

from segserve.export.models.fpn import (  # noqa: E402  same
    Detectron2Pyramid,
    TorchvisionPyramid,
    half,
    top_down,
)


def test_coarser_levels_are_repeated_into_finer_ones() -> None:
    fine, coarse = torch.zeros(1, 1, 4, 5), torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]])
    merged = top_down([fine, coarse])
    assert merged[1] is coarse
    assert merged[0][0, 0, [0, 3]].tolist() == [[1, 1, 2, 2, 3], [4, 4, 5, 5, 6]]
    assert top_down([fine, fine + 1, fine + 2])[0].unique().tolist() == [3]


def test_half_takes_every_second_pixel() -> None:
    level = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert half(level)[0, 0].tolist() == [[0, 2], [8, 10]]


@pytest.mark.parametrize("with_norm", [False, True])
def test_torchvisions_names(with_norm: bool) -> None:
    pyramid = TorchvisionPyramid([4, 8], 6, with_norm=with_norm)
    names = {k for k in pyramid.state_dict() if k.startswith("inner_blocks.1")}
    norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    extra = {f"inner_blocks.1.1.{n}" for n in norm} if with_norm else {"inner_blocks.1.0.bias"}
    assert names == {"inner_blocks.1.0.weight"} | extra
    levels = pyramid([torch.rand(1, 4, 9, 9), torch.rand(1, 8, 5, 5)])
    assert [tuple(level.shape[1:]) for level in levels] == [(6, 9, 9), (6, 5, 5), (6, 3, 3)]


def test_detectron2s_names() -> None:
    class BottomUp(nn.Module):
        def forward(self, image):
            return [image, image[:, :, ::2, ::2]]

    pyramid = Detectron2Pyramid(BottomUp(), [3, 3], 6)
    assert set(pyramid.state_dict()) == {
        f"fpn_{kind}{n}.{end}"
        for kind in ("lateral", "output")
        for n in (2, 3)
        for end in ("weight", "bias")
    }
    levels = pyramid(torch.rand(2, 3, 8, 8))
    assert [level.shape[-1] for level in levels] == [8, 4, 2]
