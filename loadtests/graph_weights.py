"""A network's weights, read back from the graph that was exported from it.

The bundled models come without checkpoints. The exporter keeps the names of weights and folds batch
norms into the convolutions before them, so the convolutions get the graph's weights and the norms
become what is left over: a shift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

FOLDED = "_bias"
"""Behind the name of a weight: the bias that a folded norm left."""

_COUNTERS = "num_batches_tracked"


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Give all constants of an ONNX file by name."""
    return {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(graph).graph.initializer
    }


def fill_from_graph(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Fill `model` in place from a graph's constants.

    Returns
    -------
    list of str
        Names of the weights that the graph does not have, which stay as they are.
    """
    state = model.state_dict()
    filled = dict(_folded(model, weights))
    for key, tensor in state.items():
        same = weights.get(key)
        if key not in filled and same is not None and same.shape == tensor.shape:
            filled[key] = same
    model.load_state_dict(filled, strict=False)
    return [key for key in state if key not in filled and not key.endswith(_COUNTERS)]


def _folded(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Give the values of the norms that were folded away."""
    modules = dict(model.named_modules())
    for name, module in modules.items():
        bias = weights.get(f"{name}.weight{FOLDED}")
        norm = _norm_behind(name, modules)
        if not isinstance(module, nn.Conv2d) or bias is None or norm is None:
            continue
        eps = float(modules[norm].eps)
        yield f"{norm}.weight", torch.ones_like(bias)
        yield f"{norm}.bias", bias
        yield f"{norm}.running_mean", torch.zeros_like(bias)
        yield f"{norm}.running_var", torch.full_like(bias, 1 - eps)


def _norm_behind(name: str, modules: Mapping[str, nn.Module]) -> str | None:
    """Give the name of a convolution's norm: its own, ``bn1`` for ``conv1``, or the next one."""
    parent, _, last = name.rpartition(".")
    beside = f"{parent}." if parent else ""
    names = [f"{name}.norm", f"{beside}{last.replace('conv', 'bn')}"]
    if last.isdecimal():
        names.append(f"{beside}{int(last) + 1}")
    found = [n for n in names if n != name and hasattr(modules.get(n), "running_var")]
    return found[0] if found else None
