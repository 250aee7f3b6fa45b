"""An `ExportConfig` as the text of ``config.pbtxt``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from segserve.core.tensor import TensorSpec
from segserve.export.recipe import ExportConfig, listed_dims

ONNX = "onnxruntime"
TORCHSCRIPT = "pytorch"
"""Triton's names of the backends."""


def _quoted(text: str) -> str:
    """Quote for protobuf's text format, which reads JSON's escapes of ASCII."""
    return json.dumps(text)


def _tensors(field: str, specs: tuple[TensorSpec, ...]) -> Iterator[str]:
    for spec in specs:
        dims = ", ".join(str(d) for d in listed_dims(spec))
        reshape = "" if spec.dims else " reshape { shape: [ ] }"
        kind = "STRING" if spec.dtype.value == "BYTES" else spec.dtype.value
        tensor = f"name: {_quoted(spec.name)} data_type: TYPE_{kind} dims: [ {dims} ]{reshape}"
        yield f"{field} [ {{ {tensor} }} ]"


def config_text(name: str, config: ExportConfig, backend: str = ONNX) -> str:
    """Give the text, ending in a newline.

    Parameters
    ----------
    name : str
        Of the model: the directory's name.
    config : ExportConfig
        Written field by field, parameters in their order.
    backend : str
        `ONNX` or `TORCHSCRIPT`.
    """
    lines = [
        f"name: {_quoted(name)}",
        f"backend: {_quoted(backend)}",
        f"max_batch_size: {config.max_batch_size}",
        *_tensors("input", config.inputs),
        *_tensors("output", config.outputs),
        "dynamic_batching { }",
    ]
    lines += [
        f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
        for key, value in config.parameters.items()
    ]
    return "\n".join(lines) + "\n"


def sidecar_text(config: ExportConfig) -> str:
    """Give the text of ``model.json``: what a TorchScript program does not say of its tensors.

    Names and datatypes as in the config, shapes with the batch axis, in ``forward``'s order.
    """

    def listed(specs: tuple[TensorSpec, ...]) -> list[dict[str, object]]:
        return [{"name": s.name, "datatype": s.dtype.value, "shape": [-1, *s.dims]} for s in specs]

    tensors = {"inputs": listed(config.inputs), "outputs": listed(config.outputs)}
    return json.dumps(tensors, indent=2) + "\n"
