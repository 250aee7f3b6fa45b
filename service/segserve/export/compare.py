"""The same input through the eager network and through ONNX Runtime: how far apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from segserve.core.errors import BackendFailed
from segserve.core.tensor import Array, Tensors

MAX_ERROR_STD = 1e-2
RMS_ERROR_STD = 1e-3


@dataclass(frozen=True)
class Comparison:
    """How far one tensor is from its reference.

    Parameters
    ----------
    max_error_std, rms_error_std : float
        Largest and root-mean-square difference, in standard deviations of the reference.
    label_agreement : float
        Share of positions whose largest channel is the same; 0 to 1.
    """

    max_error_std: float
    rms_error_std: float
    label_agreement: float

    @property
    def is_close(self) -> bool:
        """Whether a float32 runtime may differ so much: at most 1e-2 std, 1e-3 on average."""
        return self.max_error_std <= MAX_ERROR_STD and self.rms_error_std <= RMS_ERROR_STD


def compare_arrays(got: Array, expected: Array) -> Comparison:
    """Compare [B, C, ...] scores with their reference.

    Raises
    ------
    BackendFailed
        The shapes differ.
    """
    if got.shape != expected.shape:
        raise BackendFailed(f"the graph gives shape {got.shape}, the network {expected.shape}")
    error = (got.astype(np.float64) - expected) / max(float(expected.std()), 1e-12)
    agreement = np.mean(got.argmax(axis=1) == expected.argmax(axis=1))
    return Comparison(
        float(np.abs(error).max()), float(np.sqrt(np.mean(error**2))), float(agreement)
    )


def run_eager(model: nn.Module, inputs: Tensors) -> Tensor:
    """Run the network in evaluation mode on inputs in their order."""
    model.eval()
    with torch.inference_mode():
        out: Tensor = model(*(torch.from_numpy(array) for array in inputs.values()))
    return out


def run_graph(graph: bytes, inputs: Tensors) -> Array:
    """Run a serialised ONNX model on the CPU; gives its first output."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, dict(inputs))
    return outputs[0]


def compare(model: nn.Module, graph: bytes, inputs: Tensors) -> Comparison:
    """Run `inputs` through both and compare the first output.

    Parameters
    ----------
    model : nn.Module
        The reference.
    graph : bytes
        A serialised ONNX model.
    inputs : mapping of str to array
        By input name, in the order of the network's arguments.
    """
    return compare_arrays(run_graph(graph, inputs), run_eager(model, inputs).numpy())


def noise_like(samples: Tensors, seed: int = 0) -> Mapping[str, Array]:
    """Give standard normal noise of the samples' shapes and dtypes: blank images hide errors."""
    generator = np.random.default_rng(seed)
    return {n: generator.standard_normal(x.shape).astype(x.dtype) for n, x in samples.items()}
