"""Batch norms whose statistics never change, as detectors are trained with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override


class FrozenBatchNorm2d(nn.Module):
    """A batch norm of buffers alone, as detectron2's; no ``num_batches_tracked``.

    Parameters
    ----------
    channels : int
        Of the maps that come in.
    eps : float
        Added to the variance.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, channels, h, w]."""
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class FrozenScaleShift2d(FrozenBatchNorm2d):
    """The same in torchvision's arithmetic (``ops/misc.py``), which rounds otherwise.

    A detector that cuts boxes to whole pixels shows the difference, a millionth in one layer.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, channels, h, w]."""
        return scale_and_shift(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def scale_and_shift(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """Normalise [B, channels, h, w] by one factor and one summand per channel."""
    scale = weight * (variance + eps).rsqrt()
    shift = bias - mean * scale
    return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def freeze_batch_norms(network: nn.Module, eps: float) -> None:
    """Put a `FrozenScaleShift2d` in the place of every ``BatchNorm2d``, fresh and with this eps."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, FrozenScaleShift2d(child.num_features, eps))


def thaw_batch_norms(network: nn.Module) -> None:
    """Put a ``BatchNorm2d``, fresh and of the same eps, in the place of every frozen one.

    So that a network is trained from nothing; its weights fit the frozen ones by name.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FrozenBatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(len(child.weight), eps=child.eps))


def set_eps(network: nn.Module, eps: float) -> None:
    """Give every `FrozenBatchNorm2d` another eps."""
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps
