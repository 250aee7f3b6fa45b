"""A network's weights, read back from the graph that was exported from it.

The bundled models come without checkpoints. The exporter keeps the names of weights and folds batch
norms into the convolutions before them, so the convolutions get the graph's weights and the norms
become what is left over: a shift. Group norms become four operators with constants without a name,
which are found behind their convolution.
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
_GROUP_NORM = ("Reshape", "InstanceNormalization", "Reshape", "Mul", "Add")
_SCALE, _SHIFT = "_scale", "_shift"


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Give all constants of an ONNX file by name; a group norm's go by its convolution's name."""
    proto = onnx.load(graph).graph
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in proto.initializer
    }
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in proto.node:
        behind = _group_norm(node, users) if node.op_type == "Conv" else []
        for suffix, operation in zip((_SCALE, _SHIFT), behind, strict=False):
            (constant,) = [name for name in operation.input if name in weights]
            weights[node.input[1] + suffix] = weights[constant].flatten()
    return weights


def _group_norm(
    node: onnx.NodeProto, users: Mapping[str, list[onnx.NodeProto]]
) -> list[onnx.NodeProto]:
    """Give the last two operators, Mul and Add, of the group norm behind a node, or nothing."""
    path = [node]
    for wanted in _GROUP_NORM:
        found = [user for user in users.get(path[-1].output[0], []) if user.op_type == wanted]
        if not found:
            return []
        path.append(found[0])
    return path[-2:]


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
    """Give the values of the norms that were folded away or taken apart."""
    modules = dict(model.named_modules())
    for name, module in modules.items():
        scale, shift = (weights.get(f"{name}.weight{end}") for end in (_SCALE, _SHIFT))
        norm = _norm_behind(name, modules, nn.GroupNorm)
        if norm is not None and scale is not None and shift is not None:
            yield f"{norm}.weight", scale
            yield f"{norm}.bias", shift
        bias = weights.get(f"{name}.weight{FOLDED}")
        norm = _norm_behind(name, modules, None)
        if not isinstance(module, nn.Conv2d) or bias is None or norm is None:
            continue
        eps = float(modules[norm].eps)
        yield f"{norm}.weight", torch.ones_like(bias)
        yield f"{norm}.bias", bias
        yield f"{norm}.running_mean", torch.zeros_like(bias)
        yield f"{norm}.running_var", torch.full_like(bias, 1 - eps)


def _norm_behind(
    name: str, modules: Mapping[str, nn.Module], kind: type[nn.Module] | None
) -> str | None:
    """Give the name of a convolution's norm: its own, ``bn1`` for ``conv1``, or the next one.

    Without a kind it is one with running statistics.
    """
    parent, _, last = name.rpartition(".")
    beside = f"{parent}." if parent else ""
    names = [f"{name}.norm", f"{beside}{last.replace('conv', 'bn')}"]
    if last == "conv":
        names.append(f"{beside}gn")
    if last.isdecimal():
        names.append(f"{beside}{int(last) + 1}")
    found = [
        n
        for n in names
        if n != name
        and (
            hasattr(modules.get(n), "running_var")
            if kind is None
            else isinstance(modules.get(n), kind)
        )
    ]
    return found[0] if found else None
