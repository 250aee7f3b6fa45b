"""A small server of `segserve.v1` whose answers a test writes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from segserve.generated.segserve.v1 import segmentation_pb2 as pb

OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]


class FakeServer:
    """Answers with the functions `on_segment` and `on_stream`; both may raise or abort."""

    def __init__(self, port=0):
        self.requests, self.healthy, self._stopped = [], None, False
        self.on_segment = lambda request, context: answer(request)
        self.on_stream = self.answer_each
        self._server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
        handlers = {
            "Segment": grpc.unary_unary_rpc_method_handler(
                self._segment, pb.SegmentRequest.FromString, pb.SegmentResponse.SerializeToString
            ),
            "SegmentStream": grpc.stream_stream_rpc_method_handler(
                self._segment_stream,
                pb.SegmentStreamRequest.FromString,
                pb.SegmentStreamResponse.SerializeToString,
            ),
        }
        watch = {"Watch": grpc.unary_stream_rpc_method_handler(self._watch)}
        services = {"segserve.v1.Segmentation": handlers, "grpc.health.v1.Health": watch}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(*service) for service in services.items()]
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def _watch(self, request, context):
        """Push `healthy`, unless it is None: then this is a server that tells no health."""
        if self.healthy is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no health here")
        assert request == b"\n\x18segserve.v1.Segmentation"
        told = None
        while not self._stopped and context.is_active():
            if told != self.healthy:
                told = self.healthy
                yield b"\x08\x01" if told else b"\x08\x02"
            time.sleep(0.01)

    def _segment(self, request, context):
        self.requests.append(request)
        return self.on_segment(request, context)

    def _segment_stream(self, requests, context):
        yield from self.on_stream(requests, context)

    def answer_each(self, requests, context):
        for message in requests:
            self.requests.append(message.request)
            yield pb.SegmentStreamResponse(id=message.request.id, response=answer(message.request))

    def fail(self, code, text, trailers=(), times=10**9):
        """Fail the next `times` calls."""
        left = iter(range(times))

        def on_segment(request, context):
            if next(left, None) is None:
                return answer(request)
            context.set_trailing_metadata(tuple(trailers))
            return context.abort(code, text)

        self.on_segment = on_segment

    def stop(self):
        self._stopped = True
        self._server.stop(0).wait()


def answer(request):
    return pb.SegmentResponse(
        id=request.id, model_name=request.model_name, model_version="3", width_px=4, height_px=3
    )


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.stop()


@pytest.fixture
def servers():
    fakes = []
    lock = threading.Lock()

    def start(port=0):
        with lock:
            fakes.append(FakeServer(port))
            return fakes[-1]

    yield start
    for fake in fakes:
        fake.stop()
