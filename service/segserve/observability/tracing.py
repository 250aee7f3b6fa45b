"""Spans of a request's phases, sent by OTLP; nothing at all when no collector is configured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from segserve.core.messages import NO_TRACE, Timings, TraceContext


@dataclass
class Stamps:
    """When a request and its phases began and ended, in nanoseconds of the Unix clock."""

    phases: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, name: str, start_ns: int, end_ns: int) -> None:
        """Note one phase."""
        self.phases.append((name, start_ns, end_ns))

    def ended_now(self, name: str, seconds: float) -> None:
        """Note a phase that took `seconds` and has just ended."""
        end_ns = time.time_ns()
        self.add(name, end_ns - int(seconds * 1e9), end_ns)

    def batch_ended_now(
        self, timings: Timings, *, decode_s: float | None = None, post_s: float | None = None
    ) -> None:
        """Note queue, batch and infer, which have just ended.

        So have decode and post, where they were done on the batch's thread.
        """
        end_ns = time.time_ns()
        steps = (
            ("post", post_s),
            ("infer", timings.infer_s),
            ("batch", timings.batch_s),
            ("decode", decode_s),
            ("queue", timings.queue_s),
        )
        for name, seconds in steps:
            if seconds is None:
                continue
            start_ns = end_ns - int(seconds * 1e9)
            self.add(name, start_ns, end_ns)
            end_ns = start_ns


class Tracer(Protocol):
    """Where finished requests are told."""

    enabled: bool

    def request_done(
        self, trace: TraceContext, attributes: Mapping[str, str], stamps: Stamps, error: str
    ) -> TraceContext:
        """Report one request; the first of `stamps` is the request itself. Gives its span."""
        ...

    def phase_done(self, trace: TraceContext, name: str, seconds: float) -> None:
        """Report a phase of a request that was reported already; it has just ended."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class NoTracer:
    """Tracing switched off."""

    enabled = False

    def request_done(
        self, trace: TraceContext, attributes: Mapping[str, str], stamps: Stamps, error: str
    ) -> TraceContext:
        """Do nothing."""
        del trace, attributes, stamps, error
        return NO_TRACE

    def phase_done(self, trace: TraceContext, name: str, seconds: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OtlpTracer:
    """OpenTelemetry spans over OTLP/HTTP, batched on a thread of the SDK's own.

    Parameters
    ----------
    endpoint : str
        The collector's base URL; ``/v1/traces`` is added unless it is there.
    version : str
        The server's version, a resource attribute.
    """

    enabled = True

    def __init__(self, endpoint: str, version: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  opens late
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  opens late
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  opens late
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  opens late
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  opens late
            TraceContextTextMapPropagator,
        )

        url = endpoint if endpoint.endswith("/v1/traces") else endpoint.rstrip("/") + "/v1/traces"
        resource = Resource.create({"service.name": "segserve", "service.version": version})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("segserve", version)
        self._wire = TraceContextTextMapPropagator()

    def request_done(
        self, trace: TraceContext, attributes: Mapping[str, str], stamps: Stamps, error: str
    ) -> TraceContext:
        """Report one request: a span for it, and a child for each phase."""
        from opentelemetry.trace import (  # noqa: PLC0415  opens late
            SpanKind,
            StatusCode,
            set_span_in_context,
        )

        parent = self._context(trace)
        (name, start_ns, end_ns), *phases = stamps.phases
        span = self._tracer.start_span(
            name,
            context=parent,
            kind=SpanKind.SERVER,
            start_time=start_ns,
            attributes=dict[str, Any](attributes),
        )
        if error:
            span.set_status(StatusCode.ERROR, error)
        inside = set_span_in_context(span, parent)
        for phase, phase_start_ns, phase_end_ns in phases:
            child = self._tracer.start_span(phase, context=inside, start_time=phase_start_ns)
            child.end(phase_end_ns)
        span.end(end_ns)
        return self._place(inside)

    def phase_done(self, trace: TraceContext, name: str, seconds: float) -> None:
        """Report a phase: a child of the request's span."""
        if trace.parent:
            end_ns = time.time_ns()
            start_ns = end_ns - int(seconds * 1e9)
            child = self._tracer.start_span(name, context=self._context(trace), start_time=start_ns)
            child.end(end_ns)

    def _context(self, trace: TraceContext) -> Any:
        """Read a place in a trace."""
        return self._wire.extract({"traceparent": trace.parent, "tracestate": trace.state})

    def _place(self, context: Any) -> TraceContext:
        """Write a place in a trace."""
        written: dict[str, str] = {}
        self._wire.inject(written, context)
        return TraceContext(written.get("traceparent", ""), written.get("tracestate", ""))

    def close(self) -> None:
        """Send what is left, waiting for the collector as long as the SDK does."""
        self._provider.shutdown()
