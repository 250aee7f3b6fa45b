"""ModelInfer messages: bytes-like in, bytes out.

Tensor bytes are never copied on the way in: arrays are views of the message. On the way out the
envelope is serialised by protobuf and the tensors' buffers are appended as its last fields, in one
join.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from segserve.core.errors import InvalidInput, ServiceError
from segserve.core.messages import InferRequest, InferResponse, ParameterValue
from segserve.core.tensor import Array, DataType
from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport import tensor_bytes
from segserve.transport.grpc.wire import bytes_field_head, scan
from segserve.transport.kserve import (
    Call,
    RequestHead,
    add_input,
    infer_request,
    model_ref,
    refuse_foreign_memory,
    response_parameters,
)
from segserve.transport.tensor_bytes import Buffer, Declared

M = TypeVar("M", bound=Message)
_RAW_INPUTS = 7
_RAW_OUTPUTS = 6
_INT32_MAX = 2**31 - 1
_MAX_INPUTS = 1024
_CONTENTS: dict[DataType, tuple[str, str]] = {
    DataType.BOOL: ("bool_contents", "?"),
    DataType.INT8: ("int_contents", "i4"),
    DataType.INT16: ("int_contents", "i4"),
    DataType.INT32: ("int_contents", "i4"),
    DataType.INT64: ("int64_contents", "i8"),
    DataType.UINT8: ("uint_contents", "u4"),
    DataType.UINT16: ("uint_contents", "u4"),
    DataType.UINT32: ("uint_contents", "u4"),
    DataType.UINT64: ("uint64_contents", "u8"),
    DataType.FP32: ("fp32_contents", "f4"),
    DataType.FP64: ("fp64_contents", "f8"),
    DataType.BYTES: ("bytes_contents", "O"),
}
"""The field that holds the elements of a datatype, and its own element type."""


def parse(kind: type[M], data: Buffer) -> M:
    """Parse a message.

    Raises
    ------
    InvalidInput
        When the bytes are no such message.
    """
    message = kind()
    try:
        message.ParseFromString(data if isinstance(data, bytes) else bytes(data))
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise InvalidInput(f"the bytes are no {name} message: {error}") from None
    return message


def decode_request(data: Buffer, call: Call) -> InferRequest:
    """Read a ModelInferRequest.

    Raises
    ------
    InvalidInput, Unsupported
        Saying what is wrong with the message.
    """
    message, raw = split_request(data)
    try:
        return _request(message, raw, call)
    except ServiceError as error:
        error.request_id = message.id
        raise


def _request(message: pb.ModelInferRequest, raw: Sequence[Buffer], call: Call) -> InferRequest:
    ref = model_ref(message.model_name, message.model_version)
    head = RequestHead(ref, message.id, parameters_of(message.parameters), call)
    for output in message.outputs:
        refuse_foreign_memory(output.parameters, output.name, ref.name)
    outputs = tuple(output.name for output in message.outputs)
    return infer_request(head, _inputs(message, raw), outputs)


def split_request(data: Buffer) -> tuple[pb.ModelInferRequest, Sequence[Buffer]]:
    """Give the message without its raw contents, and those as views of `data`.

    Raises
    ------
    InvalidInput
        When the bytes are no such message.
    """
    parts = scan(memoryview(data), frozenset((_RAW_INPUTS,)))
    if parts is not None:
        return parse(pb.ModelInferRequest, parts.rest), [view for _, view in parts.found]
    message = parse(pb.ModelInferRequest, data)
    return message, list(message.raw_input_contents)


def _inputs(message: pb.ModelInferRequest, raw: Sequence[Buffer]) -> dict[str, Array]:
    model = message.model_name
    inputs: dict[str, Array] = {}
    count = len(message.inputs)
    if raw and len(raw) != count:
        raise InvalidInput(
            f"unable to find data for every input of model '{model}': expected {count} "
            f"entries in raw_input_contents, one per input, got {len(raw)}"
        )
    if count > _MAX_INPUTS:
        raise InvalidInput(f"at most {_MAX_INPUTS} inputs expected for model '{model}'")
    for n, tensor in enumerate(message.inputs):
        refuse_foreign_memory(tensor.parameters, tensor.name, model)
        declared = tensor_bytes.declare(model, tensor.name, tensor.datatype, tensor.shape)
        if raw and tensor.HasField("contents"):
            raise InvalidInput(
                "contents field must not be specified when using raw_input_contents for "
                f"'{tensor.name}' for model '{model}'"
            )
        data = tensor_bytes.decode_raw(declared, raw[n]) if raw else _typed(declared, tensor)
        add_input(inputs, tensor.name, data, model)
    return inputs


def _typed(declared: Declared, tensor: pb.ModelInferRequest.InferInputTensor) -> Array:
    """Read the typed contents of one input."""
    if declared.dtype not in _CONTENTS:
        raise declared.wrong(f"{declared.dtype.value} elements must come in raw_input_contents")
    field, field_dtype = _CONTENTS[declared.dtype]
    values = getattr(tensor.contents, field)
    if declared.dtype is DataType.BYTES:
        return tensor_bytes.fill(declared, list(values))
    if len(values) != declared.count:
        raise declared.wrong(
            f"expected {declared.count} elements in {field} by shape {list(declared.shape)}, got "
            f"{len(values)}"
        )
    if not values:
        return tensor_bytes.empty(declared)
    return narrowed(declared, np.array(values, dtype=field_dtype)).reshape(declared.shape)


def narrowed(declared: Declared, array: Array) -> Array:
    """Convert integers to a narrower type, refusing those that do not fit."""
    dtype = declared.dtype.numpy
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise declared.wrong(f"an element does not fit {declared.dtype.value}")
    return array.astype(dtype, copy=False)


def parameters_of(parameters: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Read a map of InferParameter; entries without a value are left out."""
    values: dict[str, ParameterValue] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None:
            values[name] = getattr(parameter, choice)
    return values


def encode_response(request: InferRequest, response: InferResponse) -> bytes:
    """Write a ModelInferResponse; every output is in raw_output_contents, in order.

    Raises
    ------
    InvalidInput
        When the message would be over gRPC's limit.
    """
    envelope = pb.ModelInferResponse(
        model_name=response.model.name, model_version=str(response.model.version), id=response.id
    )
    for name, value in response_parameters(request, response).items():
        _set_parameter(envelope.parameters[name], value)
    parts: list[Any] = []
    total_bytes = 0
    for name, array in response.outputs.items():
        datatype = tensor_bytes.datatype_of(array).value
        envelope.outputs.add(name=name, datatype=datatype, shape=array.shape)
        data = tensor_bytes.encode_raw(array)
        size_bytes = tensor_bytes.size_bytes(data)
        parts += (bytes_field_head(_RAW_OUTPUTS, size_bytes), data)
        total_bytes += size_bytes
    return _joined([envelope.SerializeToString(), *parts], total_bytes)


def _joined(parts: Iterable[Any], total_bytes: int) -> bytes:
    if total_bytes > _INT32_MAX:
        raise InvalidInput(
            f"Response has byte size {total_bytes} which exceeds gRPC's byte size limit "
            f"{_INT32_MAX}."
        )
    return b"".join(parts)


def _set_parameter(parameter: pb.InferParameter, value: ParameterValue) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value
