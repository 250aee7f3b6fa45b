"""What a config leaves out, filled in from the model; what it says wrongly, refused.

The rules are those of Triton's ONNX Runtime backend: when every input and output has a free first
axis and the config says nothing else, the model batches, by up to 4. One rule is ours: a written
``max_batch_size: 0``, or dims that have the first axis too, mean that the model does not batch. Of
a tensor that has the first axis alone only ``dims: [ -1 ]`` says so: ``[ 1 ]`` lacks a reshape.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from segserve.core.errors import LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.repository.layout import TORCHSCRIPT_BACKEND, default_filenames, is_torchscript
from segserve.repository.model_config import (
    DynamicBatching,
    LatestVersions,
    ModelConfig,
    ModelInput,
    ModelOutput,
    TensorReshape,
    VersionPolicy,
    graph_dims,
)

DEFAULT_MAX_BATCH_SIZE = 4
_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "pytorch": "pytorch_libtorch"}
_BACKENDS = {platform: backend for backend, platform in _PLATFORMS.items()}


class GraphSpecs(Protocol):
    """A model file's inputs and outputs; `dims` are full shapes, batch axis included, -1 free."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """In the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """In the model's order."""
        ...


@dataclass(frozen=True)
class ModelSpecs:
    """`GraphSpecs` as plain values."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def complete(
    config: ModelConfig | None, name: str, graph: GraphSpecs, filename: str = ""
) -> ModelConfig:
    """Fill in a config from the model, and check the one against the other.

    Parameters
    ----------
    config : ModelConfig, optional
        As parsed; None for no config at all.
    name : str
        The name that the model is served by.
    graph : GraphSpecs
    filename : str
        The model file's, which tells the backend where the config does not.

    Returns
    -------
    ModelConfig
        With every tensor's name, datatype and dims.

    Raises
    ------
    LoadFailed
        Where config and model contradict each other: the field, got (in the config), expected
        (by the model), and the line that fixes it.
    """
    given = replace(config or ModelConfig(), name=name)
    given = _complete_batching(given, graph)
    batched = given.max_batch_size > 0
    inputs = _match(_Side("input", given, batched), given.input, graph.inputs)
    outputs = _match(_Side("output", given, batched), given.output, graph.outputs)
    _check_nothing_missing(given, graph)
    by_name = TORCHSCRIPT_BACKEND if is_torchscript("", "", filename) else "onnxruntime"
    backend = given.backend or _BACKENDS.get(given.platform, by_name)
    platform = given.platform or _PLATFORMS.get(backend, "")
    return replace(
        given,
        backend=backend,
        platform=platform,
        default_model_filename=given.default_model_filename
        or default_filenames(backend, platform)[0],
        version_policy=given.version_policy or VersionPolicy(latest=LatestVersions(1)),
        input=tuple(_input(had, spec, batched) for had, spec in inputs),
        output=tuple(_output(had, spec, batched) for had, spec in outputs),
    )


def _complete_batching(config: ModelConfig, graph: GraphSpecs) -> ModelConfig:
    fixed = [s for s in (*graph.inputs, *graph.outputs) if not s.dims or s.dims[0] != -1]
    size = config.max_batch_size
    if size > 0 and fixed:
        shape = list(fixed[0].dims)
        raise LoadFailed(
            f"{config.origin.at('max_batch_size')}: got {size}, expected 0: the model's tensor "
            f"'{fixed[0].name}' has shape {shape}, whose first axis is not free: write "
            f"'max_batch_size: 0' and full shapes as dims, or export the model with a free batch "
            f"axis"
        )
    if size == 0 and not fixed and not _says_unbatched(config, graph):
        size = DEFAULT_MAX_BATCH_SIZE
    batching = config.dynamic_batching
    if size > 1 and batching is None:
        batching = DynamicBatching()
    return replace(config, max_batch_size=size, dynamic_batching=batching)


def _says_unbatched(config: ModelConfig, graph: GraphSpecs) -> bool:
    if config.origin.wrote("max_batch_size"):
        return True
    ranks = {spec.name: len(spec.dims) for spec in (*graph.inputs, *graph.outputs)}
    tensors: tuple[ModelInput | ModelOutput, ...] = (*config.input, *config.output)
    full = [graph_dims(t) for t in tensors if t.dims and len(graph_dims(t)) == ranks.get(t.name)]
    return any(len(dims) != 1 or dims[0] < 0 for dims in full)


@dataclass(frozen=True)
class _Side:
    """Inputs or outputs of one config."""

    kind: str
    config: ModelConfig
    batched: bool

    def refuse(self, index: int, field: str, text: str) -> LoadFailed:
        where = self.config.origin.at(f"{self.kind}[{index}].{field}")
        return LoadFailed(f"{where}: {text}")


def _match(
    side: _Side,
    written: Sequence[ModelInput | ModelOutput],
    specs: tuple[TensorSpec, ...],
) -> list[tuple[ModelInput | ModelOutput | None, TensorSpec]]:
    """Pair what the config lists with the model's tensors; with no list, all of the model's."""
    if not written:
        return [(None, spec) for spec in specs]
    by_name = {spec.name: spec for spec in specs}
    pairs: list[tuple[ModelInput | ModelOutput | None, TensorSpec]] = []
    for index, tensor in enumerate(written):
        spec = by_name.get(tensor.name)
        if spec is None:
            near = difflib.get_close_matches(tensor.name, by_name, n=1) or list(by_name)[:1]
            fix = f': write name: "{near[0]}"' if near else ""
            names = ", ".join(by_name) or "none"
            text = f"got '{tensor.name}', expected one of the model's {side.kind}s: {names}{fix}"
            raise side.refuse(index, "name", text)
        _check_tensor(side, index, tensor, spec)
        pairs.append((tensor, spec))
    return pairs


def _check_tensor(
    side: _Side, index: int, tensor: ModelInput | ModelOutput, spec: TensorSpec
) -> None:
    if tensor.data_type not in (None, spec.dtype):
        got, want = _type_name(tensor.data_type), _type_name(spec.dtype)
        text = f"'{tensor.name}': got {got}, expected {want}: write data_type: {want}"
        raise side.refuse(index, "data_type", text)
    if isinstance(tensor, ModelInput) and tensor.optional and not spec.optional:
        text = f"'{tensor.name}': got true, but the model cannot run without it: drop optional"
        raise side.refuse(index, "optional", text)
    _check_dims(side, index, tensor, spec)


def _check_dims(
    side: _Side, index: int, tensor: ModelInput | ModelOutput, spec: TensorSpec
) -> None:
    """Refuse another shape than the model's; where the config says nothing, it is filled in."""
    want_dims = spec.dims[1:] if side.batched else spec.dims
    had, reshaped = graph_dims(tensor), tensor.reshape is not None
    if not tensor.dims:
        wrote_none = side.config.origin.wrote(f"{side.kind}[{index}].dims")
        if not wrote_none or not spec.dims:
            return
    elif _fits(had, want_dims):
        return
    shape = list(want_dims)
    how = "without the batch axis, since the model batches" if side.batched else "in full"
    fix = f"reshape {{ shape: {shape} }}" if reshaped else f"dims: {shape}"
    if not shape:
        fix = "dims: [ 1 ] reshape { shape: [ ] }"
    want = f"{shape}" if tensor.dims or shape else "one value of each row"
    text = (
        f"'{tensor.name}': got {list(had)}, expected {want} ({how}; the model's shape is "
        f"{list(spec.dims)}): write {fix}"
    )
    raise side.refuse(index, "reshape.shape" if reshaped else "dims", text)


def _fits(dims: tuple[int, ...], model: tuple[int, ...]) -> bool:
    """Whether the ranks agree, and each axis that the model fixes is fixed to the same."""
    return len(dims) == len(model) and all(
        want in (-1, got) for got, want in zip(dims, model, strict=True)
    )


def _type_name(data_type: DataType | None) -> str:
    if data_type is None:
        return "TYPE_INVALID"
    return "TYPE_STRING" if data_type is DataType.BYTES else f"TYPE_{data_type.value}"


def _check_nothing_missing(config: ModelConfig, graph: GraphSpecs) -> None:
    """Refuse a list without some of the inputs; outputs may be a choice of the model's."""
    listed = {tensor.name for tensor in config.input}
    missing = [spec.name for spec in graph.inputs if spec.name not in listed]
    if listed and missing:
        raise LoadFailed(
            f"{config.origin.at('input')}: got {len(listed)} of the model's "
            f"{len(graph.inputs)} inputs, expected also {', '.join(missing)}: add them, or drop "
            f"the list and have it filled in"
        )


def _input(had: ModelInput | ModelOutput | None, spec: TensorSpec, batched: bool) -> ModelInput:  # noqa: FBT001  says how to read spec
    tensor = had if isinstance(had, ModelInput) else ModelInput(spec.name, optional=spec.optional)
    dims, reshape = _shapes(tensor, spec, batched=batched)
    return replace(tensor, data_type=spec.dtype, dims=dims, reshape=reshape)


def _output(had: ModelInput | ModelOutput | None, spec: TensorSpec, batched: bool) -> ModelOutput:  # noqa: FBT001  says how to read spec
    tensor = had if isinstance(had, ModelOutput) else ModelOutput(spec.name)
    dims, reshape = _shapes(tensor, spec, batched=batched)
    return replace(tensor, data_type=spec.dtype, dims=dims, reshape=reshape)


def _shapes(
    tensor: ModelInput | ModelOutput, spec: TensorSpec, *, batched: bool
) -> tuple[tuple[int, ...], TensorReshape | None]:
    """Give what was written, else the model's; one value of each row is [1] to clients."""
    if tensor.dims:
        return tensor.dims, tensor.reshape
    dims = spec.dims[1:] if batched else spec.dims
    if batched and not dims:
        return (1,), TensorReshape()
    return dims, None
