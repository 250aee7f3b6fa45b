"""KServe v2's rules that hold for both protocols.

Texts are those of Triton's frontends where it has them, since users match on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import (
    NO_TRACE,
    InferRequest,
    InferResponse,
    ModelRef,
    ParameterValue,
    TraceContext,
)
from segserve.core.options import DEFAULT_OPTIONS
from segserve.core.tensor import Array, Tensors
from segserve.transport.parameters import Parameters, read_choices, read_options

V = TypeVar("V")
_VERSION = re.compile("[0-9]{1,18}")
_SHARED_MEMORY = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")
_DEPENDENTS = "unload_dependents"
_FILE = "file:"


@dataclass(frozen=True)
class Call:
    """What the protocol knows of a call beside its message."""

    deadline: Deadline = NO_DEADLINE
    trace: TraceContext = NO_TRACE


@dataclass(frozen=True)
class RequestHead:
    """A tensor request without its tensors."""

    model: ModelRef
    id: str
    parameters: Parameters
    call: Call


@dataclass(frozen=True)
class LoadParameters:
    """The parameters of a request to load a model."""

    config_json: str | None
    files: Mapping[str, bytes]


def model_ref(name: str, version: str) -> ModelRef:
    """Read a model's name and version; an empty version is the newest.

    Raises
    ------
    InvalidInput
        When the name is empty or the version is no number.
    """
    if not name:
        raise InvalidInput("the request names no model: set the model name")
    if version and not _VERSION.fullmatch(version):
        raise InvalidInput(
            f"failed to get model version from specified version string '{version}' for model "
            f"'{name}', version should be an integral value > 0"
        )
    return ModelRef(name, int(version) if version else None)


def infer_request(
    head: RequestHead, inputs: Tensors, outputs: tuple[str, ...] = ()
) -> InferRequest:
    """Put a request together.

    Raises
    ------
    InvalidInput, Unsupported
        For the reserved parameters, and those of segmentation where strings come in.
    """
    choices = read_choices(head.parameters)
    has_strings = any(array.dtype == object for array in inputs.values())
    return InferRequest(
        model=head.model,
        inputs=inputs,
        outputs=outputs,
        id=head.id,
        deadline=head.call.deadline,
        priority=choices.priority,
        queue_timeout_us=choices.queue_timeout_us,
        options=read_options(choices.rest) if has_strings else DEFAULT_OPTIONS,
        parameters={**choices.rest, "timing": True} if choices.timing else choices.rest,
        trace=head.call.trace,
    )


def add_input(inputs: dict[str, Array], name: str, array: Array, model: str) -> None:
    """Add an input.

    Raises
    ------
    InvalidInput
        When the request has it already.
    """
    if name in inputs:
        raise InvalidInput(f"input '{name}' already exists in request for model '{model}'")
    inputs[name] = array


def refuse_foreign_memory(parameters: Mapping[str, V], tensor: str, model: str) -> None:
    """Refuse what would need the caller's memory, or its labels sorted.

    Raises
    ------
    Unsupported
        For shared memory and for the classification extension.
    """
    if any(name in parameters for name in _SHARED_MEMORY):
        raise Unsupported(
            f"shared memory is not supported by this server: send the data of tensor '{tensor}' "
            f"for model '{model}' in the request"
        )
    if "classification" in parameters:
        raise Unsupported(
            f"the classification extension is not supported by this server (output '{tensor}' of "
            f"model '{model}')"
        )


def response_parameters(request: InferRequest, response: InferResponse) -> Parameters:
    """Give the answer's parameters, with the times of its phases when those were asked for."""
    if "timing" not in request.parameters or request.parameters["timing"] is not True:
        return response.parameters
    times = response.timings
    phases: dict[str, ParameterValue] = {
        "t_decode_us": round(times.decode_s * 1e6),
        "t_queue_us": round(times.queue_s * 1e6),
        "t_batch_us": round(times.batch_s * 1e6),
        "t_infer_us": round(times.infer_s * 1e6),
        "t_post_us": round(times.post_s * 1e6),
        "batch_size": response.batch_size,
    }
    return {**response.parameters, **phases}


def load_parameters(model: str, parameters: Mapping[str, object]) -> LoadParameters:
    """Read the parameters of a request to load a model: `config`, and ``file:<version>/<name>``.

    Raises
    ------
    InvalidInput
        For another name, or a value of another type.
    """
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, value in parameters.items():
        if name == "config" and isinstance(value, str):
            config = value
        elif name.startswith(_FILE) and isinstance(value, bytes):
            files[name.removeprefix(_FILE)] = value
        elif name == "config" or name.startswith(_FILE):
            want = "a string" if name == "config" else "bytes"
            raise InvalidInput(
                f"attempt to access load parameter '{name}' for model '{model}': expected {want}, "
                f"got {type(value).__name__}"
            )
        else:
            raise InvalidInput(
                f"unrecognized load parameter '{name}' with request for model '{model}'; expected "
                f"'config' or 'file:<version>/<name>'"
            )
    return LoadParameters(config, files)


def unload_dependents(model: str, parameters: Mapping[str, object]) -> bool:
    """Read the one parameter of a request to unload a model.

    Raises
    ------
    InvalidInput
        For another name, or a value of another type.
    """
    for name, value in parameters.items():
        if name != _DEPENDENTS:
            raise InvalidInput(
                f"unrecognized unload parameter '{name}' with request for model '{model}'; "
                f"expected '{_DEPENDENTS}', true or false"
            )
        if not isinstance(value, bool):
            raise InvalidInput(
                f"unload parameter '{name}' for model '{model}': expected true or false, "
                f"got {type(value).__name__}"
            )
    return bool(parameters.get(_DEPENDENTS, False))


def one_string(data: bytes | memoryview, *, batched: bool) -> Array:
    """Give a BYTES tensor of one element: [1], or [1, 1] for a model that batches."""
    array = np.empty(1, dtype=object)
    array[0] = data
    return array.reshape(1, 1) if batched else array
