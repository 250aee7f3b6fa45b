"""A request that has been looked at and not yet begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from segserve.core.messages import InferResponse, SegmentRequest, SegmentResponse
from segserve.families.family import Plan
from segserve.observability.tracing import Stamps
from segserve.serving.refine_step import Finisher

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


@dataclass(frozen=True)
class Look:
    """One image's request before anything runs: its plan, what it is counted at, who ends it.

    Parameters
    ----------
    ends_in_slot : bool
        Its masks may be made by the thread that ran it, before the next batch; not for all images
        on an accelerator, which would wait.
    """

    request: SegmentRequest
    plan: Plan
    prepared_bytes: int
    cost_bytes: int
    finisher: Finisher
    ends_in_slot: bool
