"""Inference over HTTP: JSON, the binary tensor extension, and bodies that are one tensor.

Source: KServe's ``predict-v2`` documents and Triton's ``extension_binary_data.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segserve.core.errors import InvalidInput, ServiceError
from segserve.core.messages import InferRequest, InferResponse, ParameterValue
from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.transport import tensor_bytes
from segserve.transport.http import tensor_json
from segserve.transport.http.json_fields import Fields, fields_of, json_object
from segserve.transport.kserve import (
    RequestHead,
    add_input,
    infer_request,
    one_string,
    refuse_foreign_memory,
    response_parameters,
)
from segserve.transport.parameters import flag, integer
from segserve.transport.tensor_bytes import Declared

HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Decoded:
    """A request, and which of its outputs shall be binary.

    Parameters
    ----------
    all_binary : bool
        What holds for an output that `binary` does not name.
    binary : Mapping of str to bool
    """

    request: InferRequest
    all_binary: bool
    binary: Mapping[str, bool]

    def is_binary(self, output: str) -> bool:
        """Whether that output's bytes follow the JSON."""
        return self.binary.get(output, self.all_binary)


class _Tail:
    """The bytes behind the JSON, given out in order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, declared: Declared, size_bytes: int) -> memoryview:
        left_bytes = len(self._data) - self._at
        if size_bytes > left_bytes:
            raise declared.wrong(f"binary_data_size is {size_bytes}, but {left_bytes} bytes follow")
        self._at += size_bytes
        return self._data[self._at - size_bytes : self._at]

    def check_empty(self, model: str) -> None:
        left_bytes = len(self._data) - self._at
        if left_bytes:
            raise InvalidInput(
                f"unexpected additional input data for model '{model}': {left_bytes} bytes belong "
                f"to no input"
            )


def decode_request(head: RequestHead, body: bytes, header_length: str | None) -> Decoded:
    """Read a JSON request, with binary tensors behind it when `header_length` says where.

    `head` has the model; id and parameters are read here.

    Raises
    ------
    InvalidInput, Unsupported
        Saying what is wrong with the request.
    """
    end = len(body) if header_length is None else _header_end(header_length, len(body))
    document = fields_of(json_object(body[:end]), "the request")
    parameters = document.parameters()
    request_id = document.text("id", "")
    full = RequestHead(head.model, request_id, parameters, head.call)
    try:
        return _decoded(full, document, memoryview(body)[end:])
    except ServiceError as error:
        error.request_id = request_id
        raise


def _decoded(head: RequestHead, document: Fields, tail: memoryview) -> Decoded:
    inputs = _inputs(head.model.name, document.objects("inputs"), tail)
    outputs = [] if document.absent("outputs") else document.objects("outputs")
    binary: dict[str, bool] = {}
    for output in outputs:
        name, choices = output.text("name"), output.parameters()
        refuse_foreign_memory(choices, name, head.model.name)
        binary[name] = flag("binary_data", choices.get("binary_data", False))
    request = infer_request(head, inputs, tuple(binary))
    all_binary = flag("binary_data_output", head.parameters.get("binary_data_output", False))
    defaults = {name: all_binary for name in binary if all_binary}
    return Decoded(request, all_binary, {**binary, **defaults})


def _header_end(text: str, size_bytes: int) -> int:
    end = integer("Inference-Header-Content-Length", text)
    if end > size_bytes:
        raise InvalidInput(
            f"Inference-Header-Content-Length is {end}, but the body has {size_bytes} bytes"
        )
    return end


def _inputs(model: str, rows: Sequence[Any], tail_data: memoryview) -> dict[str, Array]:
    tail = _Tail(tail_data)
    inputs: dict[str, Array] = {}
    for row in rows:
        name, parameters = row.text("name"), row.parameters()
        refuse_foreign_memory(parameters, name, model)
        declared = tensor_bytes.declare(model, name, row.text("datatype"), row.integers("shape"))
        if "binary_data_size" in parameters:
            size_bytes = integer("binary_data_size", parameters["binary_data_size"])
            if not row.absent("data"):
                raise declared.wrong("'data' must not stand beside 'binary_data_size'")
            array = tensor_bytes.decode_raw(declared, tail.take(declared, size_bytes))
        else:
            array = tensor_json.decode_data(declared, row.value("data"))
        add_input(inputs, name, array, model)
    tail.check_empty(model)
    return inputs


def decode_raw_request(
    head: RequestHead, body: bytes, spec: TensorSpec, *, is_image: bool, batched: bool
) -> Decoded:
    """Read a body that is the model's one input and nothing else.

    Parameters
    ----------
    spec : TensorSpec
        That input, with its full shape.
    is_image : bool
        The body is an image file in place of the tensor.
    batched : bool
        The first axis is the batch's; the body is one row.

    Raises
    ------
    InvalidInput
        When more than one axis is free, or the bytes do not fit.
    """
    model = head.model.name
    if is_image or spec.dtype is DataType.BYTES:
        array = one_string(body, batched=batched and not is_image)
    else:
        shape = _filled_shape(model, spec, len(body), batched=batched)
        array = tensor_bytes.decode_raw(Declared(model, spec.name, spec.dtype, shape), body)
    return Decoded(infer_request(head, {spec.name: array}), all_binary=True, binary={})


def _filled_shape(
    model: str, spec: TensorSpec, size_bytes: int, *, batched: bool
) -> tuple[int, ...]:
    shape = [1, *spec.dims[1:]] if batched else list(spec.dims)
    free = [axis for axis, dim in enumerate(shape) if dim < 0]
    if len(free) > 1:
        raise InvalidInput(
            f"the shape of raw input '{spec.name}' for model '{model}' cannot be told: at most one "
            f"axis of {list(spec.dims)} may be free; send a JSON header with the shape"
        )
    if free:
        row_bytes = spec.dtype.item_bytes * math.prod(dim for dim in shape if dim >= 0)
        shape[free[0]] = size_bytes // row_bytes if row_bytes else 0
    return tuple(shape)


def encode_response(decoded: Decoded, response: InferResponse) -> tuple[bytes, int | None]:
    """Write the answer.

    Returns
    -------
    tuple of bytes and (int or None)
        The body, and the length of its JSON where binary tensors follow.

    Raises
    ------
    InvalidInput
        When an output cannot stand in JSON.
    """
    outputs: list[dict[str, object]] = []
    tail: list[Any] = []
    for name, array in response.outputs.items():
        row: dict[str, object] = {
            "name": name,
            "datatype": tensor_bytes.datatype_of(array).value,
            "shape": list(array.shape),
        }
        if decoded.is_binary(name):
            data = tensor_bytes.encode_raw(array)
            row["parameters"] = {"binary_data_size": tensor_bytes.size_bytes(data)}
            tail.append(data)
        else:
            row["data"] = tensor_json.encode_data(name, array)
        outputs.append(row)
    document: dict[str, object] = {
        "model_name": response.model.name,
        "model_version": str(response.model.version),
        "outputs": outputs,
    }
    if response.id:
        document["id"] = response.id
    parameters: Mapping[str, ParameterValue] = response_parameters(decoded.request, response)
    if parameters:
        document["parameters"] = dict(parameters)
    header = json.dumps(document, separators=(",", ":")).encode()
    return (b"".join([header, *tail]), len(header)) if tail else (header, None)
