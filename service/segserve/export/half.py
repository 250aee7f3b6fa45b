"""A graph with the arithmetic of its learnt part in float16, all else as it was.

Written here because onnxruntime's own converter, told to leave nodes alone, writes graphs of
detectors that are not valid: casts twice, in the wrong order, and of whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from segserve.export.learnt_part import learnt_part

_SUFFIX = "_half"
_HALF_INPUTS = {"Resize": 1}
"""How many of an operator's inputs may be float16, where not all."""
_LARGEST = float(np.finfo(np.float16).max)


def to_half(graph: bytes) -> bytes:
    """Give the graph with its layers' weights and arithmetic in float16.

    Its borders stay float32, and so does what a detector does behind its layers: see
    `segserve.export.learnt_part`.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX model of float32, its nodes named and in the order of their use.
    """
    model = onnx.load_from_string(graph)
    halved = _Halved(model)
    nodes = [made for node in model.graph.node for made in halved.rewritten(node)]
    ends = [made for output in model.graph.output for made in halved.widened([output.name])]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *ends])
    read = {name for node in model.graph.node for name in node.input}
    weights = [*model.graph.initializer, *halved.weights]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for tensor in weights if tensor.name in read)
    model.graph.ClearField("value_info")
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _floats(model: onnx.ModelProto) -> set[str]:
    """Give the names of all tensors of float32."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    told = (*graph.value_info, *graph.input, *graph.output)
    made = {t.name for t in told if t.type.tensor_type.elem_type == TensorProto.FLOAT}
    return made | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def _half_operators(model: onnx.ModelProto) -> frozenset[str]:
    """Give the operators of a graph that ONNX lets compute in float16."""
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    found = set()
    for name in {node.op_type for node in model.graph.node}:
        schema = onnx.defs.get_schema(name, opset)
        allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
        kinds = schema.inputs and allowed.get(schema.inputs[0].type_str, ())
        if kinds and "tensor(float16)" in kinds:
            found.add(name)
    return frozenset(found)


class _Halved:
    """Rewrites nodes in their order, with casts where float32 and float16 meet."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.weights: list[TensorProto] = []
        self._learnt = learnt_part(model).nodes
        self._floats = _floats(model)
        self._half_operators = _half_operators(model)
        self._originals = {tensor.name: tensor for tensor in model.graph.initializer}
        self._wide = {*self._originals, *(item.name for item in model.graph.input)}
        self._narrow: set[str] = set()

    def rewritten(self, node: Any) -> Iterator[Any]:
        """Give a node as it is to be, behind the casts that it needs."""
        read = [n for n in node.input[: _HALF_INPUTS.get(node.op_type)] if n in self._floats]
        made = [name for name in node.output if name in self._floats]
        # What makes floats of no floats, such as a cast of whole numbers, makes float32; so does
        # what ONNX has no float16 for, such as Range.
        is_half = node.name in self._learnt and bool(read) and node.op_type in self._half_operators
        yield from self.widened(n for n in node.input if not is_half or n not in read)
        if is_half:
            yield from self._narrowed(read)
            node.input[:] = [n + _SUFFIX if n in read else n for n in node.input]
            node.output[:] = [n + _SUFFIX if n in made else n for n in node.output]
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and made:
                    attribute.i = TensorProto.FLOAT16
        (self._narrow if is_half else self._wide).update(made)
        yield node

    def widened(self, names: Iterable[str]) -> Iterator[Any]:
        """Give casts for those that are float16 alone."""
        for name in names:
            if name in self._narrow and name not in self._wide:
                self._wide.add(name)
                yield helper.make_node(
                    "Cast", [name + _SUFFIX], [name], name=f"{name}_wide", to=TensorProto.FLOAT
                )

    def _narrowed(self, names: Iterable[str]) -> Iterator[Any]:
        """Give casts for those that are float32 alone; weights are narrowed here and now."""
        for name in names:
            if name in self._narrow:
                continue
            self._narrow.add(name)
            if name in self._originals:
                values = numpy_helper.to_array(self._originals[name])
                finite = np.clip(values, -_LARGEST, _LARGEST)
                half = np.where(np.isfinite(values), finite, values).astype(np.float16)
                self.weights.append(numpy_helper.from_array(half, name + _SUFFIX))
            else:
                yield helper.make_node(
                    "Cast",
                    [name],
                    [name + _SUFFIX],
                    name=f"{name}_narrow",
                    to=TensorProto.FLOAT16,
                )
