"""A request that has been looked at and not yet begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from segserve.core.messages import InferResponse, SegmentResponse
from segserve.observability.tracing import Stamps

Answer = TypeVar("Answer", InferResponse, SegmentResponse)


@dataclass(frozen=True)
class Job(Generic[Answer]):
    """A request that has been looked at.

    Parameters
    ----------
    cost_bytes : int
        What it will hold in memory: counted before anything is decoded.
    start : callable
        Runs it; raises `ServiceError`, by kind.
    bulk : bool
        It gives way to interactive requests.
    """

    cost_bytes: int
    start: Callable[[Stamps], Awaitable[Answer]]
    bulk: bool = False
