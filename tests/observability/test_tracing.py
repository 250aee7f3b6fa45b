"""Spans over OTLP to a real HTTP collector on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from segserve.core.messages import NO_TRACE, Timings, TraceContext
from segserve.observability.tracing import NoTracer, OtlpTracer, Stamps

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


@pytest.fixture
def collector():
    """Gives its URL and the list of (path, message) that it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_request_and_its_phases_arrive_below_the_callers_span(collector):
    url, got = collector
    tracer = OtlpTracer(url, "9.9")
    stamps = Stamps([("request", 1_000, 9_000), ("decode", 1_000, 2_000), ("infer", 2_000, 8_000)])
    caller = TraceContext(f"00-{TRACE_ID}-{PARENT_ID}-01", "vendor=7")
    own = tracer.request_done(caller, {"model": "m"}, stamps, "it broke")
    tracer.phase_done(own, "encode", 0.5)
    tracer.close()
    (path, message), *_ = got
    assert path == "/v1/traces"
    (resource,) = message.resource_spans
    attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert (attributes["service.name"], attributes["service.version"]) == ("segserve", "9.9")
    spans = {span.name: span for span in resource.scope_spans[0].spans}
    assert set(spans) == {"request", "decode", "infer", "encode"}
    request = spans["request"]
    assert request.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == PARENT_ID
    assert (request.start_time_unix_nano, request.end_time_unix_nano) == (1_000, 9_000)
    assert request.status.message == "it broke"
    assert {a.key: a.value.string_value for a in request.attributes} == {"model": "m"}
    assert spans["infer"].parent_span_id == request.span_id
    assert spans["infer"].end_time_unix_nano == 8_000
    assert {span.trace_state for span in spans.values()} == {"vendor=7"}
    encode = spans["encode"]
    assert encode.parent_span_id == request.span_id
    assert encode.end_time_unix_nano - encode.start_time_unix_nano == 500_000_000


def test_a_request_without_a_parent_starts_a_trace(collector):
    url, got = collector
    tracer = OtlpTracer(url + "/v1/traces", "9.9")
    tracer.request_done(NO_TRACE, {}, Stamps([("request", 1, 2)]), "")
    tracer.phase_done(NO_TRACE, "encode", 1.0)
    tracer.close()
    ((path, message),) = got
    assert path == "/v1/traces"
    assert message.resource_spans[0].scope_spans[0].spans[0].parent_span_id == b""


def test_switched_off_does_nothing():
    tracer = NoTracer()
    assert not tracer.enabled
    assert tracer.request_done(TraceContext("t"), {}, Stamps(), "") is NO_TRACE
    tracer.phase_done(NO_TRACE, "encode", 1.0)
    tracer.close()


def test_stamps_of_a_batch_follow_one_another():
    stamps = Stamps()
    stamps.batch_ended_now(Timings(queue_s=0.003, batch_s=0.001, infer_s=0.010))
    phases = {name: (start, end) for name, start, end in stamps.phases}
    assert phases["queue"][1] == phases["batch"][0]
    assert phases["batch"][1] == phases["infer"][0]
    assert phases["infer"][1] - phases["infer"][0] == 10_000_000
