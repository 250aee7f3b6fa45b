"""A PointRend graph cut off behind its coarse head: the same network without its point head."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

COARSE_WEIGHT = "sem_seg_head.coarse_sem_seg_head.predictor.weight"
"""The last layer of the coarse head."""


def coarse_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the graph whose only output are the coarse logits, [B, C, H / 4, W / 4].

    Parameters
    ----------
    model : onnx.ModelProto
        With one output; changed and given back.

    Raises
    ------
    RuntimeError
        When no convolution has the coarse head's weights.
    """
    graph = model.graph
    last = [n.output[0] for n in graph.node if n.op_type == "Conv" and n.input[1] == COARSE_WEIGHT]
    if len(last) != 1:
        raise RuntimeError(f"{len(last)} layers have the weight {COARSE_WEIGHT}, expected one")
    needed, kept = set(last), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    (output,) = graph.output
    kept.insert(0, onnx.helper.make_node("Identity", last, [output.name]))
    for axis, side in zip(output.type.tensor_type.shape.dim[2:], "hw", strict=True):
        axis.dim_param = f"coarse_{side}"
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)
    onnx.checker.check_model(model)
    return model


def write_coarse_model(bundled: Path, repository: Path, name: str) -> None:
    """Write `bundled` into `repository` under another name, without its point head.

    Logits at a quarter of the size are enlarged bilinearly by the model's own rule.
    """
    target = repository / name
    shutil.copytree(bundled, target)
    config = target / "config.pbtxt"
    text = config.read_text().replace(f'name: "{bundled.name}"', f'name: "{name}"')
    config.write_text(text)
    path = target / "1" / "model.onnx"
    onnx.save(coarse_graph(onnx.load(path)), path)
