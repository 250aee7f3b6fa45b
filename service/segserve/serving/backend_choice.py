"""From a model's config to the backends that run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.core.tensor import TensorSpec
from segserve.execution.backend import Backend, GraphSpecs
from segserve.execution.onnx import OnnxBackend, inspect_onnx
from segserve.execution.onnx_settings import OnnxOptions
from segserve.execution.reshape import Reshape, ReshapedBackend
from segserve.execution.torchscript import TorchOptions, TorchScriptBackend, inspect_torchscript
from segserve.families.parameter_values import nearest
from segserve.repository.layout import CLASSICAL_BACKEND, is_torchscript
from segserve.repository.model_config import (
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    graph_dims,
)
from segserve.serving.limits import whole_number

_CUDA = "CUDAExecutionProvider"
_PROVIDERS = {
    "cuda": _CUDA,
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_CPU_PROVIDERS = ("openvino",)
_CUDA_DEFAULTS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
_CUDA_KEYS = (
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
)
ONNX_KEYS = (
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "cuda_fallback",
    *_CUDA_KEYS,
)
"""What is read of a config's parameters for ONNX Runtime, besides its ``session.*``."""
TORCH_KEYS = ("intra_op_thread_count", "INTRA_OP_THREAD_COUNT")
"""What is read of a config's parameters for torch."""


def open_backends(
    config: ModelConfig, model_file: Path, cores: int, worker_bytes: int = 0
) -> tuple[Backend, ...]:
    """Open the model once per device that its config names.

    Parameters
    ----------
    worker_bytes : int
        Address space of a library's worker process; 0 for no limit.

    Raises
    ------
    LoadFailed
        When the file cannot be loaded, or what the config asks for is not there.
    """
    if config.backend == CLASSICAL_BACKEND:
        from segserve.serving.classical_choice import open_classical  # noqa: PLC0415  many modules

        return open_classical(config, model_file, cores, worker_bytes)
    backends: list[Backend] = []
    try:
        backends.extend(
            _reshaped(config, _open(config, model_file, cores, d)) for d in devices(config)
        )
    except LoadFailed:
        for backend in backends:
            backend.close()
        raise
    return tuple(backends)


def _open(config: ModelConfig, model_file: Path, cores: int, device_id: int | None) -> Backend:
    if is_torchscript(config.backend, config.platform, model_file.name):
        specs = inspect_torchscript(model_file, _declared(config))
        return TorchScriptBackend(model_file, specs, torch_options(config, cores, device_id))
    return OnnxBackend(model_file, onnx_options(config, cores, device_id))


def _reshaped(config: ModelConfig, backend: Backend) -> Backend:
    inputs, outputs = _reshapes(config.input), _reshapes(config.output)
    if not inputs and not outputs:
        return backend
    return ReshapedBackend(backend, inputs, outputs, batched=config.max_batch_size > 0)


def _reshapes(tensors: Sequence[ModelInput | ModelOutput]) -> dict[str, Reshape]:
    return {t.name: Reshape(t.dims, t.reshape.shape) for t in tensors if t.reshape is not None}


def inspect_model(config: ModelConfig | None, model_file: Path) -> GraphSpecs:
    """Give the inputs and outputs of a model file.

    Raises
    ------
    LoadFailed
        When the file is not what the config's backend takes.
    """
    if config is not None and config.backend == CLASSICAL_BACKEND:
        from segserve.execution.classical import inspect_classical  # noqa: PLC0415  many modules

        return inspect_classical(model_file)
    told = (config.backend, config.platform) if config is not None else ("", "")
    if is_torchscript(*told, model_file.name):
        return inspect_torchscript(model_file, _declared(config))
    return inspect_onnx(model_file)


def _declared(config: ModelConfig | None) -> GraphSpecs | None:
    """Give the tensors that a config lists in full, with the batch axis; None without them."""
    if config is None:
        return None
    batch = (-1,) if config.max_batch_size else ()
    inputs, outputs = _declared_specs(config.input, batch), _declared_specs(config.output, batch)
    return None if inputs is None or outputs is None else GraphSpecs(inputs, outputs)


def _declared_specs(
    tensors: Sequence[ModelInput | ModelOutput], batch: tuple[int, ...]
) -> tuple[TensorSpec, ...] | None:
    specs = []
    for tensor in tensors:
        if tensor.data_type is None or (batch and not tensor.dims):
            return None
        specs.append(TensorSpec(tensor.name, tensor.data_type, batch + graph_dims(tensor)))
    return tuple(specs)


def torch_options(config: ModelConfig, cores: int, device_id: int | None) -> TorchOptions:
    """Give the options that a config stands for, by Triton's name or ONNX Runtime's.

    Raises
    ------
    LoadFailed
        When the number of threads is no whole number.
    """
    threads = whole_number(config, "intra_op_thread_count", 0)
    return TorchOptions(
        cores=cores,
        intra_op_threads=whole_number(config, "INTRA_OP_THREAD_COUNT", threads),
        device_id=device_id,
    )


def check_devices(config: ModelConfig) -> None:
    """Check what a config says of devices, whichever of them this machine has.

    Raises
    ------
    LoadFailed
        When no machine could do as it says.
    """
    devices(config)
    for on_gpu in (False, True):
        _accelerators(config, on_gpu=on_gpu)


def devices(config: ModelConfig) -> tuple[int | None, ...]:
    """Give the devices to open the model on; None for the CPU.

    Raises
    ------
    LoadFailed
        When the config mixes GPUs and the CPU, or names several GPUs.
    """
    groups = config.instance_group or (InstanceGroup(),)
    on_gpu = [group for group in groups if _wants_gpu(config, group)]
    if not on_gpu:
        return (None,)
    if len(on_gpu) != len(groups):
        raise LoadFailed(
            f"{config.origin.at('instance_group')}: mixes KIND_GPU and KIND_CPU, which cannot be "
            f"served together yet: keep one kind"
        )
    devices = tuple(sorted({gpu for group in on_gpu for gpu in group.gpus or (0,)}))
    if len(devices) > 1:
        raise LoadFailed(
            f"{config.origin.at('instance_group')}: names the devices {list(devices)}, but one "
            f"server uses one device: start a server per device"
        )
    return devices


def _wants_gpu(config: ModelConfig, group: InstanceGroup) -> bool:
    if group.kind is InstanceKind.GPU:
        return True
    accelerators = _accelerators(config, on_gpu=True)
    return group.kind is InstanceKind.AUTO and bool(accelerators)


def _accelerators(config: ModelConfig, *, on_gpu: bool) -> dict[str, Mapping[str, str]]:
    optimization = config.optimization
    if optimization is None or optimization.execution_accelerators is None:
        return {}
    listed = optimization.execution_accelerators
    chosen = listed.gpu_execution_accelerator if on_gpu else listed.cpu_execution_accelerator
    known = sorted(_PROVIDERS if on_gpu else _CPU_PROVIDERS)
    for at, accelerator in enumerate(chosen):
        if accelerator.name not in known:
            raise _no_accelerator(config, at, accelerator.name, known, on_gpu=on_gpu)
    return {_PROVIDERS[a.name]: a.parameters for a in chosen}


def _no_accelerator(
    config: ModelConfig, at: int, name: str, known: Sequence[str], *, on_gpu: bool
) -> LoadFailed:
    listed = f"{'gpu' if on_gpu else 'cpu'}_execution_accelerator[{at}].name"
    where = config.origin.at(f"optimization.execution_accelerators.{listed}")
    if name in _PROVIDERS:
        fix = ", which no CPU has: remove it or list it as gpu_execution_accelerator"
    else:
        fix = nearest(name, known)
    return LoadFailed(f"{where}: got '{name}', expected {', '.join(known)}{fix}")


def onnx_options(config: ModelConfig, cores: int, device_id: int | None) -> OnnxOptions:
    """Give the options that a config stands for, on one device (None: the CPU).

    Raises
    ------
    LoadFailed
        When a parameter is not a number where it should be one.
    """
    given = config.parameters
    graph = config.optimization.graph if config.optimization else None
    wanted = dict(_accelerators(config, on_gpu=device_id is not None))
    if device_id is not None:
        cuda = {k: given[k] for k in _CUDA_KEYS if k in given}
        cuda = {**_CUDA_DEFAULTS, **cuda, **wanted.get(_CUDA, {}), "device_id": str(device_id)}
        wanted[_CUDA] = cuda
    return OnnxOptions(
        cores=cores,
        providers=tuple(wanted.items()),
        allow_cpu_fallback=given.get("cuda_fallback") == "cpu",
        device_id=device_id or 0,
        graph_level=graph.level if graph else None,
        intra_op_threads=whole_number(config, "intra_op_thread_count", 0),
        inter_op_threads=whole_number(config, "inter_op_thread_count", 1) or cores,
        parallel=_parallel(config),
        enable_mem_arena=bool(whole_number(config, "enable_mem_arena", 1)),
        enable_mem_pattern=bool(whole_number(config, "enable_mem_pattern", 1)),
        config_entries={k: v for k, v in given.items() if k.startswith("session.")},
    )


def _parallel(config: ModelConfig) -> bool:
    """Read Triton's ``execution_mode``: 0 one node after another, 1 side by side."""
    mode = whole_number(config, "execution_mode", 0)
    if mode not in (0, 1):
        raise LoadFailed(
            f"model '{config.name}': parameter 'execution_mode' is '{mode}'; expected 0 (nodes run "
            f"one after another) or 1 (side by side)"
        )
    return bool(mode)
