"""TorchScript as a backend. The server's one door to torch, opened when such a model loads.

A ``.pt`` file says neither names nor shapes of its outputs, so they come from ``model.json`` beside
it (`read_sidecar`), which ``segserve export --format torchscript`` writes, or from the config's
``input`` and ``output``. Tensors are matched as Triton's PyTorch backend does it (pytorch_backend
README.md, "Model configuration"): inputs by the names of ``forward``'s arguments, else both sides
by ``<name>__<index>``, else in the order that they are listed in.

torch has one setting for the number of its threads, which each thread takes over when it first
computes; `run` sets it for its own thread, so that batches run side by side on one core each, and
a request that is alone on all of them.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segserve.core.errors import BackendFailed, InvalidInput, LoadFailed
from segserve.core.tensor import Array, DataType, Tensors, TensorSpec
from segserve.execution.backend import GraphSpecs, Stop, never
from segserve.execution.heap import trim_heap

SIDECAR_NAME = "model.json"
_DATATYPES = {
    "bool": DataType.BOOL,
    "uint8": DataType.UINT8,
    "uint16": DataType.UINT16,
    "uint32": DataType.UINT32,
    "uint64": DataType.UINT64,
    "int8": DataType.INT8,
    "int16": DataType.INT16,
    "int32": DataType.INT32,
    "int64": DataType.INT64,
    "float16": DataType.FP16,
    "bfloat16": DataType.BF16,
    "float32": DataType.FP32,
    "float64": DataType.FP64,
}
_NUMBERED = re.compile(r".+__(\d+)")


@dataclass(frozen=True)
class TorchOptions:
    """How to run a model with torch.

    Parameters
    ----------
    cores : int
        Threads of a run that has the CPU for itself.
    intra_op_threads : int
        0: one thread, or `cores` for a run that is alone; else always this many.
    device_id : int or None
        Which CUDA device; None for the CPU.
    """

    cores: int
    intra_op_threads: int = 0
    device_id: int | None = None


def read_sidecar(model_file: Path) -> GraphSpecs | None:
    """Read the tensors of a model from ``model.json`` beside it.

    The file holds ``{"inputs": [...], "outputs": [...]}``, each tensor as ``{"name": "image",
    "datatype": "FP32", "shape": [-1, 3, -1, -1]}`` with the batch axis, in ``forward``'s order.

    Returns
    -------
    GraphSpecs or None
        None when there is no such file.

    Raises
    ------
    LoadFailed
        When the file holds something else.
    """
    path = model_file.with_name(SIDECAR_NAME)
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return GraphSpecs(_listed(told["inputs"]), _listed(told["outputs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadFailed(
            f'{path}: {error!r}; expected {{"inputs": [...], "outputs": [...]}} of tensors like '
            f'{{"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}}: export the model '
            f"again, or remove the file and list input and output in config.pbtxt"
        ) from None


def _listed(tensors: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(str(t["name"]), DataType(t["datatype"]), tuple(int(d) for d in t["shape"]))
        for t in tensors
    )


def inspect_torchscript(model_file: Path, declared: GraphSpecs | None) -> GraphSpecs:
    """Give a model's tensors, with full shapes; torch is not needed for it.

    Parameters
    ----------
    model_file : Path
    declared : GraphSpecs or None
        What the config lists, taken when there is no ``model.json``.

    Raises
    ------
    LoadFailed
        When neither says what the tensors are, or one is of a kind that torch does not have.
    """
    specs = read_sidecar(model_file) or declared
    if specs is None or not specs.inputs or not specs.outputs:
        raise LoadFailed(
            f"{model_file}: TorchScript does not say what its tensors are: list input and output "
            f"with data_type and dims in config.pbtxt, or put a {SIDECAR_NAME} beside the model"
        )
    for spec in (*specs.inputs, *specs.outputs):
        if spec.dtype not in _DATATYPES.values():
            raise LoadFailed(
                f"{model_file}: tensor '{spec.name}' is {spec.dtype.value}, which torch does not "
                f"have; expected one of {', '.join(d.value for d in _DATATYPES.values())}"
            )
    return specs


@cache
def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415  heavy: opens late
    except ImportError as error:
        raise LoadFailed(
            f"a TorchScript model needs torch, which cannot be imported ({error}): "
            f"pip install torch, or export the model to ONNX"
        ) from None
    # Only programs that fork use this pool. It cannot be set once torch has used it.
    with suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    return torch


class TorchScriptBackend:
    """A TorchScript program on one device.

    Parameters
    ----------
    model_file : Path
    specs : GraphSpecs
        See `inspect_torchscript`.
    options : TorchOptions

    Raises
    ------
    LoadFailed
        When the file is no TorchScript program, its arguments are not the inputs, torch is not
        there, or the device is not.
    """

    reentrant = True

    def __init__(self, model_file: Path, specs: GraphSpecs, options: TorchOptions) -> None:
        self._torch = _torch()
        self.device = _device(self._torch, model_file, options.device_id)
        self._options = options
        self.widens = options.intra_op_threads != 1
        self.providers: tuple[str, ...] = (f"torch {self._torch.__version__}",)
        self._module = _open(self._torch, model_file, self.device)
        arguments = [a.name for a in self._module.forward.schema.arguments[1:]]
        if len(arguments) < len(specs.inputs):
            raise LoadFailed(
                f"{model_file}: forward takes {len(arguments)} tensors "
                f"({', '.join(arguments) or 'none'}), got {len(specs.inputs)} inputs "
                f"({', '.join(s.name for s in specs.inputs)}): list those of the model"
            )
        self.specs = specs
        self._inputs = _in_order(specs.inputs, arguments)
        self._outputs = _in_order(specs.outputs, ())
        trim_heap()

    def run(
        self,
        inputs: Tensors,
        *,
        wide: bool,
        stop: Stop = never,  # noqa: ARG002  torch has no way to end a run
    ) -> Tensors:
        """Run the model; torch releases the GIL. See `Backend.run`."""
        torch, options = self._torch, self._options
        missing = [spec.name for spec in self._inputs if spec.name not in inputs]
        if missing:
            raise InvalidInput(f"the model's input '{missing[0]}' is missing")
        torch.set_num_threads(options.intra_op_threads or (options.cores if wide else 1))
        try:
            with torch.inference_mode():
                given = [self._tensor(inputs[spec.name], spec.dtype) for spec in self._inputs]
                out = self._module(*given)
                return {name: self._array(name, x) for name, x in self._named(out).items()}
        except BackendFailed:
            raise
        except Exception as error:
            raise BackendFailed(f"the model failed: {error}") from error

    def _tensor(self, array: Array, dtype: DataType) -> Any:
        # torch warns of memory that it may not write to, and refuses negative strides.
        owned = array if array.flags.writeable else array.copy()
        tensor = self._torch.from_numpy(np.ascontiguousarray(owned))
        if dtype is DataType.BF16:
            tensor = tensor.view(self._torch.bfloat16)
        return tensor if self.device == "cpu" else tensor.to(self.device)

    def _named(self, out: Any) -> dict[str, Any]:
        """Give the program's outputs by name: a tensor, a tuple or list of them, or a dict."""
        names = [spec.name for spec in self._outputs]
        if isinstance(out, dict):
            out = [out[name] for name in names if name in out]
        tensors = list(out) if isinstance(out, tuple | list) else [out]
        if len(tensors) < len(names):
            raise BackendFailed(
                f"the model gave {len(tensors)} outputs, expected {len(names)}: {', '.join(names)}"
            )
        return dict(zip(names, tensors, strict=False))

    def _array(self, name: str, tensor: Any) -> Array:
        want = next(spec.dtype for spec in self._outputs if spec.name == name)
        got = _DATATYPES.get(str(getattr(tensor, "dtype", "")).removeprefix("torch."))
        if got is not want:
            told = got.value if got is not None else type(tensor).__name__
            raise BackendFailed(
                f"the model's output '{name}' is {told}, expected {want.value}: correct its "
                f"data_type in config.pbtxt or {SIDECAR_NAME}"
            )
        tensor = tensor.cpu()
        if got is DataType.BF16:
            tensor = tensor.view(self._torch.uint16)
        array: Array = np.ascontiguousarray(tensor.numpy())
        return array

    def settle(self, inputs: Tensors) -> None:
        """Give free memory back to the system: torch itself keeps none on a CPU."""
        del inputs
        trim_heap()

    def close(self) -> None:
        """Free the program."""
        self._module = None
        trim_heap()


def _open(torch: Any, model_file: Path, device: str) -> Any:
    # torch says at every call that the format is an old one; whoever serves it knows.
    warnings.filterwarnings("ignore", message=r"`torch\.jit", category=DeprecationWarning)
    try:
        module = torch.jit.load(str(model_file), map_location=device)
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LoadFailed(
            f"{model_file}: torch {torch.__version__} cannot load it as TorchScript: {reason}; "
            f"expected a program written by torch.jit.save, not a checkpoint"
        ) from error
    return module.eval() if hasattr(module, "training") else module


def _device(torch: Any, model_file: Path, device_id: int | None) -> str:
    if device_id is None:
        return "cpu"
    count = torch.cuda.device_count()
    if device_id >= count:
        raise LoadFailed(
            f"{model_file}: the config asks for CUDA device {device_id}, but torch "
            f"{torch.__version__} sees {count}: install torch with CUDA, or set instance_group "
            f"kind to KIND_CPU"
        )
    return f"cuda:{device_id}"


def _in_order(specs: tuple[TensorSpec, ...], arguments: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Put tensors into the program's order: by argument, by ``__<index>``, or as listed."""
    by_name = {spec.name: spec for spec in specs}
    if set(by_name) <= set(arguments):
        return tuple(by_name[name] for name in arguments if name in by_name)
    numbers = [_NUMBERED.fullmatch(spec.name) for spec in specs]
    if all(numbers):
        order = {spec.name: int(n[1]) for spec, n in zip(specs, numbers, strict=True) if n}
        return tuple(sorted(specs, key=lambda spec: order[spec.name]))
    return specs
