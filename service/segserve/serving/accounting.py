"""How each request ended: counted, logged once, traced, and always an answer of a known kind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

from segserve.core.deadline import PASSED, Deadline
from segserve.core.errors import BackendFailed, DeadlineExceeded, ErrorKind, ServiceError
from segserve.core.messages import NO_TRACE, Timings, TraceContext
from segserve.observability.tracing import Stamps, Tracer
from segserve.serving.job import Answer
from segserve.serving.served_model import ServedModel

log = logging.getLogger(__name__)

_REASONS = {
    ErrorKind.OVERLOADED: "REJECTED",
    ErrorKind.QUEUE_TIMEOUT: "REJECTED",
    ErrorKind.CANCELLED: "CANCELED",
    ErrorKind.INTERNAL: "BACKEND",
}
_CLOCKS_APART_S = 0.05


def failure_reason(kind: ErrorKind) -> str:
    """Give Triton's `reason` label of ``nv_inference_request_failure``."""
    return _REASONS.get(kind, "OTHER")


class Work:
    """One request on its way."""

    def __init__(
        self, served: ServedModel, request_id: str, trace: TraceContext, deadline: Deadline
    ) -> None:
        self.served = served
        self.request_id = request_id
        self.trace = trace
        self.deadline = deadline
        self.start_s = time.perf_counter()
        self.stamps = Stamps()

    def log_fields(self) -> dict[str, str]:
        """Who asked whom: the fields of the request's log lines and spans."""
        ref = self.served.parts.ref
        return {
            "request_id": self.request_id or "<id_unknown>",
            "model": ref.name,
            "version": str(ref.version),
        }

    def answered(self, error: ServiceError) -> ServiceError:
        """Give the error that the caller gets: the log has it, a full queue names the request."""
        message = error.message
        if error.kind is ErrorKind.OVERLOADED:
            message = f"[request id: {self.log_fields()['request_id']}] {message}"
        answer = type(error)(message, retry_after_s=error.retry_after_s)
        answer.told = True
        return answer


async def _in_time(running: Awaitable[Answer], deadline: Deadline) -> Answer:
    remaining_s = deadline.remaining_s()
    if remaining_s == float("inf"):
        return await running
    try:
        async with asyncio.timeout(remaining_s):
            return await running
    except TimeoutError:
        raise DeadlineExceeded(PASSED) from None


def _left_in_time(work: Work) -> bool:
    """Whether a caller who has gone went of its own accord, and not because its time was up.

    Its clock started before the server's, and its transport wrote the time into the call in steps
    of up to a hundredth (gRPC's ``timeout_encoding.cc`` rounds up), so that a caller that is out of
    time often goes just before the server's clock says so.
    """
    remaining_s = work.deadline.remaining_s()
    if remaining_s == float("inf"):
        return True
    whole_s = time.perf_counter() - work.start_s + remaining_s
    return remaining_s > max(_CLOCKS_APART_S, whole_s / 100)


class Accounts:
    """Waits for answers and accounts for how they ended."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def answer(self, work: Work, running: Awaitable[Answer]) -> Answer:
        """Wait for an answer under the caller's deadline and account for how it ended.

        Raises
        ------
        ServiceError
            Always of a kind; nothing else but ``asyncio.CancelledError`` leaves this method.
        """
        try:
            answer = await _in_time(running, work.deadline)
        except asyncio.CancelledError:
            if _left_in_time(work):
                self._failed(work, "CANCELED", "the caller has gone")
            else:
                self._failed(work, "OTHER", PASSED)
            raise
        except ServiceError as error:
            self._failed(work, failure_reason(error.kind), error.message)
            raise work.answered(error) from error
        except Exception as error:  # the border where unforeseen failures become answers
            log.exception("request_crashed", extra=work.log_fields())
            self._failed(work, "BACKEND", repr(error))
            raise work.answered(BackendFailed(f"internal error: {error!r}")) from error
        trace = self._succeeded(work, answer.timings)
        return replace(answer, trace=trace) if trace.parent else answer

    def _succeeded(self, work: Work, timings: Timings) -> TraceContext:
        parts = work.served.parts
        request_s = time.perf_counter() - work.start_s
        parts.meter.request_done(timings, request_s)
        parts.metrics.request_done(timings, request_s)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("request_done", extra={**work.log_fields(), "seconds": round(request_s, 6)})
        return self._trace(work, "")

    def _failed(self, work: Work, reason: str, message: str) -> None:
        parts = work.served.parts
        parts.meter.request_failed(time.perf_counter() - work.start_s)
        parts.metrics.request_failed(reason)
        fields = {**work.log_fields(), "reason": reason, "error": message}
        log.warning("request_failed", extra=fields)
        self._trace(work, message)

    def _trace(self, work: Work, error: str) -> TraceContext:
        if not self._tracer.enabled:
            return NO_TRACE
        start_ns = time.time_ns() - int((time.perf_counter() - work.start_s) * 1e9)
        work.stamps.phases.insert(0, ("request", start_ns, time.time_ns()))
        return self._tracer.request_done(work.trace, work.log_fields(), work.stamps, error)
