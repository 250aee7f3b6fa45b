"""ONNX Runtime as a backend. The one door to onnxruntime, opened when the first model loads.

On a CPU a model has at most two sessions, shared by all its instances (``run`` is re-entrant): one
of a single thread, for when many batches run side by side, and one over all cores for when a
request is alone. There is no global thread pool (measured slower under load).

Each session holds its own copy of the weights, reordered for its kernels, so there is nothing that
the two could share: a DeepLabV3+ of ResNet-50 (159 MB of weights) takes 191 MB of resident memory
with one session and 354 MB with both, thanks to `trim_heap`; 420 and 617 MB without (1.31).
``intra_op_thread_count`` in the config makes it one session.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segserve.core.errors import BackendFailed, Cancelled, InvalidInput, LoadFailed
from segserve.core.tensor import Array, DataType, Tensors, TensorSpec
from segserve.execution.backend import GraphSpecs, Stop, never
from segserve.execution.heap import trim_heap
from segserve.execution.onnx_settings import LOG_FATAL, OnnxOptions, session_options

_DATATYPES = {
    "tensor(bool)": DataType.BOOL,
    "tensor(uint8)": DataType.UINT8,
    "tensor(uint16)": DataType.UINT16,
    "tensor(uint32)": DataType.UINT32,
    "tensor(uint64)": DataType.UINT64,
    "tensor(int8)": DataType.INT8,
    "tensor(int16)": DataType.INT16,
    "tensor(int32)": DataType.INT32,
    "tensor(int64)": DataType.INT64,
    "tensor(float16)": DataType.FP16,
    "tensor(float)": DataType.FP32,
    "tensor(double)": DataType.FP64,
    "tensor(string)": DataType.BYTES,
}
_CPU = "CPUExecutionProvider"
_DEVICE_KINDS = {
    _CPU: "cpu",
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "OpenVINOExecutionProvider": "openvino",
}
_MUCH_BYTES = 256 << 20
_NUMBERED = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
}
"""Triton's numbers for what ONNX Runtime's Python calls by name (onnxruntime_backend README.md)."""


def _runtime() -> Any:
    import onnxruntime  # noqa: PLC0415  heavy: opens late

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _open(runtime: Any, model_file: Path, settings: Any, providers: list[Any]) -> Any:
    try:
        return runtime.InferenceSession(str(model_file), settings, providers=providers)
    except Exception as error:
        raise LoadFailed(
            f"{model_file}: ONNX Runtime {runtime.__version__} cannot load it: {error}"
        ) from error


def _spec(model_file: Path, tensor: Any) -> TensorSpec:
    dtype = _DATATYPES.get(tensor.type)
    if dtype is None:
        raise LoadFailed(
            f"{model_file}: tensor '{tensor.name}' is a {tensor.type}, which cannot be served: "
            f"export it as one of {', '.join(sorted(_DATATYPES))}"
        )
    dims = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in tensor.shape)
    return TensorSpec(tensor.name, dtype, dims)


def _specs(model_file: Path, session: Any) -> GraphSpecs:
    return GraphSpecs(
        tuple(_spec(model_file, tensor) for tensor in session.get_inputs()),
        tuple(_spec(model_file, tensor) for tensor in session.get_outputs()),
    )


def inspect_onnx(model_file: Path) -> GraphSpecs:
    """Read a model file's tensors, with full shapes.

    Raises
    ------
    LoadFailed
        When the file is no model that ONNX Runtime can load, or holds no plain tensors.
    """
    runtime = _runtime()
    settings = session_options(runtime, OnnxOptions(cores=1), 1)
    settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _specs(model_file, _open(runtime, model_file, settings, [_CPU]))


class OnnxBackend:
    """A model file in one or two sessions of ONNX Runtime.

    Raises
    ------
    LoadFailed
        When the file cannot be loaded, or a provider that was asked for is not in use.
    """

    reentrant = True

    def __init__(self, model_file: Path, options: OnnxOptions) -> None:
        runtime = _runtime()
        self._runtime = runtime
        providers = _available(runtime, model_file, options)
        threads = options.intra_op_threads or (options.cores if providers else 1)
        settings = session_options(runtime, options, threads)
        self._narrow = _open(runtime, model_file, settings, [*providers, _CPU])
        in_use = self._narrow.get_providers()
        missing = [name for name, _ in providers if name not in in_use]
        if missing and not options.allow_cpu_fallback:
            raise LoadFailed(_missing_text(model_file, missing, in_use))
        self.providers = tuple(in_use)
        self.device = _device(in_use[0], options.device_id)
        self._has_cpu_arena = self.device == "cpu" and options.enable_mem_arena
        self._hold_much: set[Any] = set()  # sessions
        self._wide = self._narrow
        if self.device == "cpu" and not options.intra_op_threads and options.cores > 1:
            settings = session_options(runtime, options, options.cores)
            self._wide = _open(runtime, model_file, settings, [_CPU])
        self.specs = _specs(model_file, self._narrow)
        self._output_names = [spec.name for spec in self.specs.outputs]
        trim_heap()
        self.widens = self._wide is not self._narrow or threads > 1
        self._strings = {s.name for s in self.specs.inputs if s.dtype is DataType.BYTES}

    def run(self, inputs: Tensors, *, wide: bool, stop: Stop = never) -> Tensors:
        """Run the model; releases the GIL. See `Backend.run`; `stop` is heard between two nodes.

        What a run on much more than images has left in a session's arena is given back by the run
        after it: until then its outputs are in use.
        """
        session = self._wide if wide else self._narrow
        options = self._run_options(shrinks=session in self._hold_much)
        self._hold_much.discard(session)
        if self._has_cpu_arena and sum(x.nbytes for x in inputs.values()) > _MUCH_BYTES:
            self._hold_much.add(session)
        stop.tell(partial(setattr, options, "terminate", True))  # noqa: FBT003  its value
        try:
            return self._run(session, inputs, options)
        except BackendFailed:
            if stop():
                raise Cancelled("nobody waits for the answer: the run was ended") from None
            raise

    def settle(self, inputs: Tensors) -> None:
        """Run `inputs` once more on every session, which then gives its free arena memory back."""
        if self._has_cpu_arena:
            for session in {id(s): s for s in (self._narrow, self._wide)}.values():
                self._run(session, inputs, self._run_options(shrinks=True))

    def _run_options(self, *, shrinks: bool) -> Any:
        """Give options of one run, whose errors are raised and not printed besides.

        `shrinks`: it gives the arena's free memory back.
        """
        options = self._runtime.RunOptions()
        options.log_severity_level = LOG_FATAL
        if shrinks:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options

    def _run(self, session: Any, inputs: Tensors, run_options: Any) -> Tensors:
        feed = {name: self._fed(name, array) for name, array in inputs.items()}
        try:
            outputs = session.run(self._output_names, feed, run_options)
        except self._runtime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
            raise InvalidInput(f"the model refused its input: {error}") from error
        except Exception as error:
            raise BackendFailed(f"the model failed: {error}") from error
        return {
            name: _as_bytes(array) if array.dtype == object else array
            for name, array in zip(self._output_names, outputs, strict=True)
        }

    def _fed(self, name: str, array: Array) -> Array:
        if name in self._strings:
            return _texts(name, array)
        return np.ascontiguousarray(array)

    def close(self) -> None:
        """Free the sessions."""
        self._narrow = self._wide = None
        self._hold_much.clear()
        trim_heap()


def _device(provider: str, device_id: int) -> str:
    kind = _DEVICE_KINDS.get(provider, provider)
    return f"{kind}:{device_id}" if kind == "cuda" else kind


def _texts(name: str, array: Array) -> Array:
    """Give BYTES as the str objects that ONNX Runtime takes."""
    out = np.empty(array.size, dtype=object)
    try:
        for index, element in enumerate(array.flat):
            out[index] = element if isinstance(element, str) else bytes(element).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"input '{name}': element {index} is not UTF-8 ({error.reason} at byte {error.start}); "
            f"string tensors of ONNX models hold UTF-8 text"
        ) from None
    return out.reshape(array.shape)


def _as_bytes(array: Array) -> Array:
    """Give a string output as BYTES: elements are bytes."""
    out = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.flat):
        out[index] = str(element).encode()
    return out.reshape(array.shape)


def _available(
    runtime: Any, model_file: Path, options: OnnxOptions
) -> list[tuple[str, dict[str, str]]]:
    """Give the wanted providers that this build of ONNX Runtime has."""
    there = runtime.get_available_providers()
    missing = [name for name, _ in options.providers if name not in there]
    if missing and not options.allow_cpu_fallback:
        raise LoadFailed(_missing_text(model_file, missing, there))
    return [(name, _named(given)) for name, given in options.providers if name in there]


def _named(given: Mapping[str, str]) -> dict[str, str]:
    return {key: _NUMBERED.get(key, {}).get(value, value) for key, value in given.items()}


def _missing_text(model_file: Path, missing: list[str], there: list[str]) -> str:
    return (
        f"{model_file}: the config asks for {', '.join(missing)}, but what is there is "
        f"{', '.join(there)}: install the gpu extra (onnxruntime-gpu) and its CUDA libraries, set "
        f"instance_group kind to KIND_CPU, or allow the CPU with parameters {{ key: "
        f'"cuda_fallback" value {{ string_value: "cpu" }} }}'
    )
