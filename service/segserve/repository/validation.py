"""A config checked by itself, before its model is opened: the rules of Triton's documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segserve.core.errors import LoadFailed
from segserve.repository.layout import CLASSICAL_BACKEND
from segserve.repository.model_config import (
    DynamicBatching,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    ModelWarmup,
    QueuePolicy,
)

BACKENDS = ("onnxruntime", "pytorch", CLASSICAL_BACKEND)
PLATFORMS = ("onnxruntime_onnx", "pytorch_libtorch")
MAX_PRIORITY_LEVELS = 100


def check_config(config: ModelConfig, *, name: str, any_name: bool = False) -> None:
    """Refuse a config that cannot be served.

    Parameters
    ----------
    config : ModelConfig
        As parsed, not yet completed.
    name : str
        The name it is served by: that of its folder.
    any_name : bool
        The operator chose the name, so the config may say another.

    Raises
    ------
    LoadFailed
        Naming for every problem the line, the field, got, expected and how to fix it.
    """
    found = problems(config, name=name, any_name=any_name)
    if found:
        raise LoadFailed("; ".join(found))


def problems(config: ModelConfig, *, name: str, any_name: bool = False) -> tuple[str, ...]:
    """Give one text per problem of a config; parameters as for `check_config`."""
    at = config.origin.at
    found = [f"{at(path)}: {text}" for path, text in _problems(config)]
    if config.name not in ("", name) and not any_name:
        text = f"got '{config.name}', expected '{name}', the folder's name: rename one of the two"
        found.insert(0, f"{at('name')}: {text}")
    return tuple(found)


def _problems(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Give the field's path and what is wrong with it."""
    yield from _unservable(config)
    if config.max_batch_size < 0:
        yield "max_batch_size", f"got {config.max_batch_size}, expected 0 (no batching) or more"
    yield from _tensors("input", config.input, config.backend)
    yield from _tensors("output", config.output, config.backend)
    yield from _instances(config)
    if config.dynamic_batching is not None:
        yield from _batching(config.dynamic_batching, config.max_batch_size)
    for index, sample in enumerate(config.model_warmup):
        yield from _warmup(f"model_warmup[{index}]", sample, config)
    yield from _versions(config)


def _unservable(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Name what would give wrong answers if it were ignored."""
    if config.backend not in ("", *BACKENDS):
        yield "backend", f"got '{config.backend}', expected one of {', '.join(BACKENDS)}"
    if config.platform not in ("", *PLATFORMS):
        kind = "an ensemble" if config.platform == "ensemble" else f"'{config.platform}'"
        yield "platform", f"got {kind}, expected one of {', '.join(PLATFORMS)}"
    message = config.to_proto()
    scheduler = message.WhichOneof("scheduling_choice")
    if scheduler == "ensemble_scheduling":
        yield scheduler, "ensembles cannot be served: load the models by themselves"
    elif scheduler == "sequence_batching":
        yield scheduler, "models with state cannot be served: use dynamic_batching"


def _tensors(
    kind: str, tensors: Sequence[ModelInput | ModelOutput], backend: str
) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, tensor in enumerate(tensors):
        path = f"{kind}[{index}]"
        if not tensor.name:
            yield f"{path}.name", f"missing: write the model's name for the {kind}"
        elif tensor.name in seen:
            yield f"{path}.name", f"got '{tensor.name}' twice, expected each {kind} once"
        seen.add(tensor.name)
        if any(dim == 0 or dim < -1 for dim in tensor.dims):
            text = f"got {list(tensor.dims)}, expected -1 (free) or numbers from 1"
            yield f"{path}.dims", text
        if tensor.reshape is not None:
            text = _reshape_problem(tensor.dims, tensor.reshape.shape)
            if backend == CLASSICAL_BACKEND:
                text = "models without weights have their own shapes: drop reshape"
            if text:
                yield f"{path}.reshape", text


def _reshape_problem(dims: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Tell why the one shape cannot become the other, as Triton's ValidateIOShape has it."""
    if any(dim == 0 or dim < -1 for dim in shape):
        return f"got shape {list(shape)}, expected -1 (free) or numbers from 1"
    if not dims:
        return "got no dims beside it, expected them: the shape that requests and answers have"
    if _between_free_axes(dims) != _between_free_axes(shape):
        return (
            f"got {list(shape)} for dims {list(dims)}, expected as many elements in both, and as "
            f"many free axes (-1) with as many elements between them"
        )
    return ""


def _between_free_axes(dims: tuple[int, ...]) -> list[int]:
    """Give the elements before, between and after the free axes."""
    counts = [1]
    for dim in dims:
        if dim < 0:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts


def _instances(config: ModelConfig) -> Iterator[tuple[str, str]]:
    for index, group in enumerate(config.instance_group):
        path = f"instance_group[{index}]"
        if group.count < 0:
            yield f"{path}.count", f"got {group.count}, expected 1 or more, or no count"
        if any(gpu < 0 for gpu in group.gpus):
            yield f"{path}.gpus", f"got {list(group.gpus)}, expected device numbers from 0"
        if group.gpus and group.kind is InstanceKind.CPU:
            text = f"got {list(group.gpus)} with KIND_CPU: drop gpus, or write KIND_GPU"
            yield f"{path}.gpus", text
        if group.kind is InstanceKind.GPU and config.backend == CLASSICAL_BACKEND:
            text = "got KIND_GPU, but models without weights run on the CPU: drop it"
            yield f"{path}.kind", text
        if group.kind is InstanceKind.MODEL:
            yield f"{path}.kind", "got KIND_MODEL, expected KIND_AUTO, KIND_CPU or KIND_GPU"


def _batching(batching: DynamicBatching, max_batch_size: int) -> Iterator[tuple[str, str]]:
    prefix = "dynamic_batching"
    for size in batching.preferred_batch_size:
        if size < 1 or (max_batch_size and size > max_batch_size):
            text = f"got {size}, expected 1 to max_batch_size, which is {max_batch_size}"
            yield f"{prefix}.preferred_batch_size", text
    levels = batching.priority_levels
    if levels > MAX_PRIORITY_LEVELS:
        yield f"{prefix}.priority_levels", f"got {levels}, expected 0 to {MAX_PRIORITY_LEVELS}"
    if levels and not 1 <= batching.default_priority_level <= levels:
        text = f"got {batching.default_priority_level}, expected 1 to priority_levels, {levels}"
        yield f"{prefix}.default_priority_level", text
    if not levels and batching.default_priority_level:
        text = f"got {batching.default_priority_level} without priority_levels: write them"
        yield f"{prefix}.default_priority_level", text
    for level in batching.priority_queue_policy:
        if not 1 <= level <= levels:
            text = f"got level {level}, expected 1 to priority_levels, which is {levels}"
            yield f"{prefix}.priority_queue_policy", text
    yield from _ordering(batching)


def _ordering(batching: DynamicBatching) -> Iterator[tuple[str, str]]:
    """Order cannot be kept when some requests overtake others; Triton refuses this as well."""
    if batching.preserve_ordering and batching.priority_levels > 1:
        text = f"got true with {batching.priority_levels} priority_levels: drop one of the two"
        yield "dynamic_batching.preserve_ordering", text
    policies = {
        "default_queue_policy": batching.default_queue_policy or QueuePolicy(),
        **{f"priority_queue_policy[{k}]": v for k, v in batching.priority_queue_policy.items()},
    }
    for name, policy in policies.items():
        if batching.preserve_ordering and policy.timeout_action == "DELAY":
            text = "got DELAY with preserve_ordering: drop one of the two"
            yield f"dynamic_batching.{name}.timeout_action", text


def _warmup(path: str, sample: ModelWarmup, config: ModelConfig) -> Iterator[tuple[str, str]]:
    if config.max_batch_size and sample.batch_size > config.max_batch_size:
        text = f"got {sample.batch_size}, expected up to max_batch_size, {config.max_batch_size}"
        yield f"{path}.batch_size", text
    known = {tensor.name for tensor in config.input}
    for name, tensor in sample.inputs.items():
        if known and name not in known:
            text = f"got '{name}', expected one of the inputs: {', '.join(sorted(known))}"
            yield f"{path}.inputs", text
        if any(dim < 1 for dim in tensor.dims):
            text = (
                f"'{name}': got {list(tensor.dims)}, expected numbers from 1: samples have a size"
            )
            yield f"{path}.inputs", text


def _versions(config: ModelConfig) -> Iterator[tuple[str, str]]:
    policy = config.version_policy
    specific = policy.specific if policy is not None else None
    if specific is not None and (not specific.versions or min(specific.versions) < 1):
        text = f"got {list(specific.versions)}, expected version numbers from 1"
        yield "version_policy.specific.versions", text
