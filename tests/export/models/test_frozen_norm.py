import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
from torch import nn  # noqa: E402  after the skip

from segserve.export.models.frozen_norm import (  # noqa: E402  same
    FrozenBatchNorm2d,
    FrozenScaleShift2d,
    freeze_batch_norms,
    set_eps,
    thaw_batch_norms,
)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


def test_names_without_the_count_of_batches() -> None:
    frozen = network()
    freeze_batch_norms(frozen, eps=0.0)
    expected = {k for k in network().state_dict() if not k.endswith("num_batches_tracked")}
    assert set(frozen.state_dict()) == expected


@pytest.mark.parametrize("kind", [FrozenBatchNorm2d, FrozenScaleShift2d])
def test_computes_the_same_and_in_training_too(kind) -> None:
    ordinary, frozen = nn.BatchNorm2d(2, eps=1e-3).eval(), kind(2, 1e-3).train()
    with torch.no_grad():
        for tensor in (ordinary.weight, ordinary.bias, ordinary.running_mean):
            tensor.copy_(torch.tensor([0.5, -2.0]))
        ordinary.running_var.copy_(torch.tensor([4.0, 0.25]))
    state = ordinary.state_dict()
    del state["num_batches_tracked"]
    frozen.load_state_dict(state)
    x = torch.rand(1, 2, 3, 3)
    torch.testing.assert_close(frozen(x), ordinary(x))


def test_the_second_kind_rounds_as_torchvision_does() -> None:
    torch.manual_seed(3)
    norm = FrozenScaleShift2d(8, 0.0)
    for buffer in norm.buffers():
        buffer.uniform_(0.1, 2)
    x = torch.randn(2, 8, 5, 5)
    weight, bias, mean, variance = (b.reshape(1, -1, 1, 1) for b in norm.buffers())
    scale = weight * (variance + norm.eps).rsqrt()
    assert torch.equal(norm(x), x * scale + (bias - mean * scale))
    assert not torch.equal(norm(x), FrozenBatchNorm2d.forward(norm, x))


def test_eps() -> None:
    frozen = network()
    freeze_batch_norms(frozen, eps=0.0)
    set_eps(frozen, 3.0)
    with torch.no_grad():
        assert frozen[1][0](torch.ones(1, 4, 1, 1)).flatten().tolist() == [0.5] * 4


def test_thawed_norms_learn_and_fit_back() -> None:
    frozen = network()
    freeze_batch_norms(frozen, eps=3.0)
    thaw_batch_norms(frozen)
    thawed = frozen[1][0]
    assert isinstance(thawed, nn.BatchNorm2d)
    assert (thawed.num_features, thawed.eps, thawed.weight.requires_grad) == (4, 3.0, True)
    again = network()
    freeze_batch_norms(again, eps=3.0)
    assert set(again.state_dict()) == set(frozen.state_dict()) - {"1.0.num_batches_tracked"}
