"""An eager network to one ONNX file: standard operators, free batch, height and width."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from torch import nn

from segserve.core.errors import BackendFailed
from segserve.export.models.detection_onnx import translations
from segserve.export.recipe import ExportConfig, Recipe

OPSET = 18
_AXIS_NAMES = {0: "batch", 2: "height", 3: "width"}
# Below this the dilated last stage has nothing to look at; the tracer wants a bound above 1.
_MIN_SIDE_PX = 16


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own deprecations and its talk about torchvision from the user."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*LeafSpec.*")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnx).*")
            warnings.filterwarnings("ignore", category=UserWarning, message="# The axis name")
            yield
    finally:
        logger.setLevel(level)


def _side(name: str, multiple: int) -> object:
    """Give a picture's free side; where all are multiples, the tracer may count on it."""
    if multiple == 1:
        return torch.export.Dim(name, min=_MIN_SIDE_PX)
    return multiple * torch.export.Dim(f"{name}_{multiple}", min=2)


def _free_axes(config: ExportConfig) -> list[dict[int, object]]:
    """Give each input's axes that may vary: the batch's, and those that the config leaves free."""
    multiple = int(config.parameters.get("size_multiple", "1"))
    dims = {
        axis: _side(name, multiple) if axis else torch.export.Dim(name, min=1)
        for axis, name in _AXIS_NAMES.items()
    }
    return [
        {a: d for a, d in dims.items() if a == 0 or (a <= len(t.dims) and t.dims[a - 1] < 0)}
        for t in config.inputs
    ]


def _anonymous(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop source paths and stack traces: the same weights give the same bytes anywhere."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    graph.ClearField("value_info")
    for output in graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if dim.HasField("dim_param") and axis > 0:
                dim.dim_param = f"{output.name}_{_AXIS_NAMES.get(axis, axis)}"
    return model


def _check(model: onnx.ModelProto, recipe: Recipe) -> None:
    """Raise unless the graph is valid, self-contained and named as the configuration says."""
    onnx.checker.check_model(model, full_check=True)
    foreign = sorted({n.domain for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    config = recipe.config()
    got = [t.name for t in (*model.graph.input, *model.graph.output)]
    expected = [t.name for t in (*config.inputs, *config.outputs)]
    if foreign or got != expected:
        raise BackendFailed(
            f"the exported graph of {recipe.name} has tensors {got} and operators of other "
            f"domains {foreign}; expected {expected} and none"
        )


def to_onnx(model: nn.Module, recipe: Recipe) -> bytes:
    """Export `model`, weights inside.

    Parameters
    ----------
    model : nn.Module
        As `recipe.build()` made it; exported in evaluation mode, and left in the mode it was in.
    recipe : Recipe
        Gives sample inputs and the names of inputs and outputs.

    Returns
    -------
    bytes
        A serialised ModelProto, opset 18. The same weights and versions give the same bytes.

    Raises
    ------
    BackendFailed
        When the graph is not what the recipe's configuration says.
    """
    samples, config = recipe.sample_inputs(), recipe.config()
    was_training = model.training
    model.eval()
    try:
        with _quiet(), torch.inference_mode():
            program = torch.onnx.export(
                model,
                kwargs={},
                args=tuple(torch.from_numpy(np.array(samples[t.name])) for t in config.inputs),
                dynamo=True,
                input_names=[t.name for t in config.inputs],
                output_names=[t.name for t in config.outputs],
                dynamic_shapes=tuple(_free_axes(config)),
                opset_version=OPSET,
                custom_translation_table=dict(translations()),
                external_data=False,
                verbose=False,
            )
    finally:
        model.train(was_training)
    if program is None:
        raise BackendFailed(f"torch.onnx.export gave no program for {recipe.name}")
    proto = _anonymous(program.model_proto)
    _check(proto, recipe)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
