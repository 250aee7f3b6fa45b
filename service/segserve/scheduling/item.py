"""What goes into a batcher, what waits in it, and what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import ServiceError
from segserve.core.messages import Timings
from segserve.core.tensor import Tensors

First = Callable[[], Any] | None
"""Blocking work that fills one item's inputs."""
Then = Callable[[Tensors], Any] | None
"""Blocking work on one item's outputs."""


@dataclass(frozen=True)
class Item:
    """One image's tensors, waiting to be run.

    Parameters
    ----------
    inputs : Tensors
        Without the batch axis when the model batches; else whole tensors.
    bucket : hashable
        Items of one bucket have equal shapes and may share a batch.
    deadline : Deadline
        The caller's own.
    queue_timeout_us : int
        The request's wish for a queue timeout, 0 for none.
    priority : int
        0 for the model's default level.
    first : callable, optional
        Blocking work that fills `inputs`, done on the slot's thread right before the run. Its
        result is in the `BatchResult`, whatever it raises is this item's answer.
    then : callable, optional
        Blocking work on this item's outputs, done on the slot's thread right after the run where
        nobody could do it sooner: when the item ran alone, or no other core is free. Its result is
        in the `BatchResult`, whatever it raises is this item's answer.
    """

    inputs: Tensors
    bucket: Hashable
    deadline: Deadline = NO_DEADLINE
    queue_timeout_us: int = 0
    priority: int = 0
    first: First = None
    then: Then = None


@dataclass(frozen=True)
class BatchResult:
    """One item's share of a batch.

    Parameters
    ----------
    outputs : Tensors
        This item's rows, without the batch axis (views of the batch's outputs).
    timings : Timings
        `queue_s`: waiting until a slot really began; `batch_s` and `infer_s`.
    batch_size : int
        Items in the batch.
    outputs_bytes : int
        What this item's outputs took, also where `then` has let go of them.
    begun : object
        What the item's `first` gave; None where it had none.
    done : object
        What the item's `then` gave; None where it was not called.
    """

    outputs: Tensors
    timings: Timings
    batch_size: int
    outputs_bytes: int
    begun: Any = None
    done: Any = None


@dataclass(eq=False)
class Entry:
    """An item in the queues, and the future that its caller waits on.

    `begun` is what the item's `first` gave, in `first_s` seconds.
    """

    item: Item
    future: asyncio.Future[BatchResult]
    level: int
    enqueued_s: float
    begun: Any = None
    first_s: float = 0.0
    timer: asyncio.TimerHandle | None = None
    rise: asyncio.TimerHandle | None = None
    taken: bool = False

    def answer(self, result: BatchResult) -> None:
        """Give the result, unless the caller has gone."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give the error, unless there is an answer or the caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)

    def unwanted(self) -> bool:
        """Whether the caller has gone or is out of time; asked on any thread."""
        return self.future.done() or self.item.deadline.passed()

    def forget(self) -> None:
        """Look at an answer that nobody will read, so that the loop does not complain of it."""
        if self.future.done() and not self.future.cancelled():
            self.future.exception()


def fresh(error: ServiceError) -> ServiceError:
    """Copy an error that answers several callers: raising one object twice links their frames."""
    return type(error)(error.message, retry_after_s=error.retry_after_s)
