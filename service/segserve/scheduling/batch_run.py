"""One batch from its rows to every row's own answer: blocking, on the thread that has the slot.

What can still be saved is saved here, at the last moment: rows whose caller has gone or whose time
is up are left out, and when the model fails on a batch its rows are run one by one, so that a
poisoned row costs its neighbours nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segserve.core.errors import BackendFailed, Cancelled, ServiceError
from segserve.core.tensor import Array, Tensors
from segserve.scheduling.batch import address, side_by_side, stack

RunModel = Callable[[Tensors], Tensors]
"""The model itself: blocking, batched tensors in and out."""


@dataclass(frozen=True, eq=False)
class ModelRun:
    """One call of the model; equal only to itself.

    Parameters
    ----------
    started_s : float
        When the slot began with the batch, on the monotonic clock.
    batch_s, infer_s : float
        Stacking and running, in seconds.
    batch_size : int
        Rows in the run.
    row_bytes : int
        What one row's outputs take.
    """

    started_s: float
    batch_s: float
    infer_s: float
    batch_size: int
    row_bytes: int


@dataclass(frozen=True)
class RowResult:
    """One row's outputs, without the batch axis (views of the batch's), and the run they are of.

    `done` is what further work on the outputs gave (see `followed`).
    """

    outputs: Tensors
    run: ModelRun
    done: object = None


Outcome = RowResult | Exception


class NoBatchAxis(BackendFailed):
    """The model's outputs do not have a row per image; running them apart would only hide it."""


def run_rows(rows: Sequence[Tensors], run: RunModel, *, batched: bool) -> list[Outcome]:
    """Run rows of equal shapes together, and apart when that fails.

    Parameters
    ----------
    rows : sequence of Tensors
        At least one; without the batch axis when `batched`.
    run : RunModel
    batched : bool
        The model has a batch axis; else there is one row, which is passed as it is.

    Returns
    -------
    list, one per row
        A result, or the error that is this row's answer.
    """
    started_s = time.monotonic()
    try:
        return [*_run_together(rows, run, started_s, batched=batched)]
    except Exception as error:  # noqa: BLE001  whatever the model raises is their answer
        if len(rows) == 1:
            return [_as_service_error(error)]
        if isinstance(error, NoBatchAxis | Cancelled):
            return [type(error)(error.message) for _ in rows]
    return [_run_apart(row, run, started_s) for row in rows]


def followed(outcome: Outcome, then: Callable[[Tensors], object]) -> Outcome:
    """Do further work on one row's outputs, which are let go; what it raises is the outcome."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        return RowResult({}, outcome.run, then(outcome.outputs))
    except Exception as error:  # noqa: BLE001  it is this row's answer
        return error


def _run_apart(row: Tensors, run: RunModel, started_s: float) -> Outcome:
    try:
        return _run_together([row], run, started_s, batched=True)[0]
    except Exception as error:  # noqa: BLE001  it is this row's answer
        return _as_service_error(error)


def _run_together(
    rows: Sequence[Tensors], run: RunModel, started_s: float, *, batched: bool
) -> list[RowResult]:
    start_s = time.monotonic()
    order = _memory_order(rows)
    inputs = _stacked([rows[index] for index in order]) if batched else rows[0]
    stacked_s = time.monotonic()
    outputs = run(inputs)
    infer_s = time.monotonic() - stacked_s
    split = _split(outputs, len(rows)) if batched else [outputs]
    row_bytes = sum(array.nbytes for array in outputs.values()) // len(rows)
    done = ModelRun(started_s, stacked_s - start_s, infer_s, len(rows), row_bytes)
    by_index = dict(zip(order, split, strict=True))
    return [RowResult(by_index[index], done) for index in range(len(rows))]


def _memory_order(rows: Sequence[Tensors]) -> Sequence[int]:
    """Put rows of one slab as they lie in memory, so that they need no copy; others stay."""
    as_they_came = range(len(rows))
    if len(rows) == 1 or not rows[0]:
        return as_they_came
    name = next(iter(rows[0]))
    in_memory = sorted(as_they_came, key=lambda index: address(rows[index][name]))
    if side_by_side([rows[index][name] for index in in_memory]):
        return in_memory
    return as_they_came


def _stacked(rows: Sequence[Tensors]) -> Tensors:
    return {name: stack([row[name] for row in rows]) for name in rows[0]}


def _split(outputs: Tensors, count: int) -> list[dict[str, Array]]:
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != count:
            raise NoBatchAxis(
                f"output '{name}' has shape {list(array.shape)} for a batch of {count}: its "
                f"first axis must be the batch; set max_batch_size to 0 if the model has none"
            )
    return [{n: array[row, ...] for n, array in outputs.items()} for row in range(count)]


def _as_service_error(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"the model failed: {error!r}")
