"""Whether a tensor request fits the model: pure checks with Triton's texts.

The texts are those of Triton's ``InferenceRequest::Normalize``, which users match on.
"""

from __future__ import annotations

from collections.abc import Sequence

from segserve.core.errors import InvalidInput
from segserve.core.messages import InferRequest
from segserve.core.tensor import Array, DataType, TensorSpec

_BATCH_NOTE = (
    ". NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be"
    " prepended to each input shape. If you want to specify the full shape including the batch"
    " dim in your input dims config, try setting max_batch_size to zero. See the model"
    " configuration docs for more info on max_batch_size."
)


def _prefix(request: InferRequest) -> str:
    return f"[request id: {request.id or '<id_unknown>'}] "


def _matches(array: Array, dtype: DataType) -> bool:
    return dtype is DataType.BYTES if array.dtype == object else array.dtype == dtype.numpy


def check_inputs(request: InferRequest, specs: Sequence[TensorSpec], *, max_batch_size: int) -> int:
    """Check names, datatypes and shapes of a request's inputs.

    Parameters
    ----------
    specs : sequence of TensorSpec
        The model's inputs; dims without the batch axis when `max_batch_size` > 0.
    max_batch_size : int
        0 for a model that does not batch. A larger batch is fine: it is split.

    Returns
    -------
    int
        Rows along the batch axis; 1 for a model that does not batch.

    Raises
    ------
    InvalidInput
        Naming the tensor, got and expected.
    """
    name = request.model.name
    known = {spec.name: spec for spec in specs}
    for given in request.inputs:
        if given not in known:
            raise InvalidInput(
                f"{_prefix(request)}unexpected inference input '{given}' for model '{name}'. "
                f"Expected inputs: {', '.join(known)}"
            )
    missing = [s.name for s in specs if s.name not in request.inputs and not s.optional]
    if missing:
        wanted = sum(not s.optional for s in specs)
        raise InvalidInput(
            f"{_prefix(request)}expected {wanted} inputs but got {len(request.inputs)} inputs for "
            f"model '{name}'. Got input(s) {list(request.inputs)}, but missing required input(s) "
            f"{missing}. Please provide all required input(s)."
        )
    batched = max_batch_size > 0
    rows = {
        given: _check_one(request, known[given], array, batched=batched)
        for given, array in request.inputs.items()
    }
    if len(set(rows.values())) > 1:
        raise InvalidInput(
            f"{_prefix(request)}inputs of model '{name}' have different batch sizes: {rows}; all "
            f"inputs of one request must have the same first dimension"
        )
    return next(iter(rows.values()), 1)


def _check_one(request: InferRequest, spec: TensorSpec, array: Array, *, batched: bool) -> int:
    name = request.model.name
    if not _matches(array, spec.dtype):
        got = "BYTES" if array.dtype == object else DataType.of(array.dtype).value
        raise InvalidInput(
            f"{_prefix(request)}inference input '{spec.name}' data-type is '{got}', but model "
            f"'{name}' expects '{spec.dtype.value}'"
        )
    if not spec.accepts(array.shape, batched=batched):
        want = _shape_text(spec.full_shape(batched=batched))
        raise InvalidInput(
            f"{_prefix(request)}unexpected shape for input '{spec.name}' for model '{name}'. "
            f"Expected {want}, got {_shape_text(array.shape)}{_BATCH_NOTE if batched else ''}"
        )
    if batched and array.shape[0] == 0:
        raise InvalidInput(
            f"{_prefix(request)}input '{spec.name}' for model '{name}' has batch size 0; send at "
            f"least one row"
        )
    return array.shape[0] if batched else 1


def _shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(d) for d in shape) + "]"


def check_outputs(request: InferRequest, names: Sequence[str]) -> tuple[str, ...]:
    """Give the outputs to answer, in the model's order.

    Raises
    ------
    InvalidInput
        When a requested output does not exist.
    """
    if not request.outputs:
        return tuple(names)
    for wanted in request.outputs:
        if wanted not in names:
            raise InvalidInput(
                f"{_prefix(request)}unexpected inference output '{wanted}' for model "
                f"'{request.model.name}'. Outputs are: {', '.join(names)}"
            )
    return tuple(n for n in names if n in request.outputs)
