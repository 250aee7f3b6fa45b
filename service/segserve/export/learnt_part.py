"""Which nodes of a graph are the learnt network, and which choose among what it says.

A detector's graph goes on behind its last convolution: boxes are decoded, sorted, suppressed and
pooled. That needs float32: a coordinate of 1,067 pixels has no half precision, and minus infinity
no 8 bits. So lower precision is for the layers with weights and for what lies between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WITH_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_CHOOSING = frozenset(
    {
        "TopK",
        "NonMaxSuppression",
        "NonZero",
        "RoiAlign",
        "GridSample",
        "GatherElements",
        "GatherND",
        "ScatterElements",
        "ScatterND",
    }
)
_CARRYING = frozenset({"Relu", "Clip", "LeakyRelu", "Flatten", "Reshape"})
"""What hands a layer's values on to the next one, also behind a choice."""


@dataclass(frozen=True)
class LearntPart:
    """Names of nodes.

    Parameters
    ----------
    nodes : frozenset of str
        Layers with weights, and what lies between two of them.
    last : frozenset of str
        Those of the layers behind which none follows: what they say is looked at.
    others : frozenset of str
        All that are not in `nodes`; empty for a graph that chooses nothing, which is learnt whole.
    """

    nodes: frozenset[str]
    last: frozenset[str]
    others: frozenset[str]


def learnt_part(model: Any) -> LearntPart:
    """Find the learnt part of a graph whose nodes are in the order of their use.

    Parameters
    ----------
    model : onnx.ModelProto
        Every node has a name.
    """
    nodes = list(model.graph.node)
    if not any(node.op_type in _CHOOSING for node in nodes):
        return LearntPart(frozenset(node.name for node in nodes), frozenset(), frozenset())
    weights = {tensor.name for tensor in model.graph.initializer}
    layers = {
        node.name
        for node in nodes
        if node.op_type in _WITH_WEIGHTS and any(name in weights for name in node.input[1:2])
    }
    leading = _leading(nodes, layers)
    behind = _behind_a_choice(nodes)
    learnt = set(layers)
    made = {name: node for node in nodes for name in node.output}
    for node in nodes:
        if node.name not in leading or node.op_type in _CHOOSING:
            continue
        if node.name not in behind or _carries(node, made, learnt):
            learnt.add(node.name)
    every = {node.name for node in nodes}
    return LearntPart(frozenset(learnt), frozenset(layers - leading), frozenset(every - learnt))


def _carries(node: Any, made: Mapping[str, Any], learnt: set[str]) -> bool:
    source = made.get(node.input[0]) if node.input else None
    return node.op_type in _CARRYING and source is not None and source.name in learnt


def _leading(nodes: Sequence[Any], layers: set[str]) -> set[str]:
    """Give the nodes from which a layer is reached; what chooses is not gone through."""
    wanted: set[str] = set()
    leading: set[str] = set()
    for node in reversed(nodes):
        if any(name in wanted for name in node.output):
            leading.add(node.name)
        if node.name in layers or (node.name in leading and node.op_type not in _CHOOSING):
            wanted.update(node.input)
    return leading


def _behind_a_choice(nodes: Iterable[Any]) -> set[str]:
    """Give the nodes whose inputs hang on a choice."""
    chosen: set[str] = set()
    behind: set[str] = set()
    for node in nodes:
        is_behind = any(name in chosen for name in node.input)
        if is_behind:
            behind.add(node.name)
        if is_behind or node.op_type in _CHOOSING:
            chosen.update(node.output)
    return behind
