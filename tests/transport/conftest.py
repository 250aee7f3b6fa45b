"""A fake engine behind real servers on free ports."""

import asyncio
import contextlib

import grpc
import httpx
import numpy as np
import pytest

from segserve.core.errors import BackendFailed, InvalidInput, NotFound, Overloaded
from segserve.core.label_map import LabelMap, Segment
from segserve.core.messages import InferResponse, ModelRef, SegmentResponse, Timings
from segserve.core.options import MaskFormat
from segserve.core.regions import Regions, Rle
from segserve.core.tensor import DataType, TensorSpec
from segserve.repository.pbtxt import parse_config
from segserve.serving.views import (
    InferBatchStatistics,
    InferStatistics,
    ModelIndexEntry,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    StatisticDuration,
)
from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.server import GrpcServer
from segserve.transport.http.server import HttpOptions, HttpServer

CONFIG = """name: "echo" backend: "onnxruntime" max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
dynamic_batching { max_queue_delay_microseconds: 7 } """


class FakeEngine:
    """Gives back what came in; models `echo` and `seg` are ready, `hang` never answers."""

    def __init__(self):
        self.requests, self.calls, self.cancelled = [], [], asyncio.Event()
        self._arrived = asyncio.Event()
        self.draining, self.is_accepting = False, True
        self.is_ready, self.ready_models, self._callbacks = True, {"echo", "seg", "hang"}, set()

    def _arrive(self, request):
        self.requests.append(request)
        self._arrived.set()

    async def wait_requests(self, count=1):
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()

    def _check(self, ref):
        if ref.name == "bug":
            raise ZeroDivisionError("a bug")
        failures = {
            "full": Overloaded("Exceeds maximum queue size", retry_after_s=0.25),
            "broken": BackendFailed("the model failed"),
            "bad": InvalidInput("no good: " + "x" * 100_000),
        }
        if ref.name in failures:
            raise failures[ref.name]
        if ref.name not in self.ready_models:
            raise NotFound(f"Request for unknown model: '{ref.name}' is not found")

    async def _maybe_hang(self, ref):
        if ref.name == "hang":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def infer(self, request):
        self._arrive(request)
        self._check(request.model)
        await self._maybe_hang(request.model)
        wanted = request.outputs or tuple(request.inputs)
        outputs = {name: request.inputs[name] for name in wanted}
        ref = ModelRef(request.model.name, 3)
        return InferResponse(ref, outputs, request.id, Timings(infer_s=0.002), batch_size=5)

    async def segment(self, request):
        self._arrive(request)
        self._check(request.model)
        await self._maybe_hang(request.model)
        segment = Segment(1, 1, 6, mask=Rle(2, 3, b"06"))
        raw = np.ones((2, 3), np.uint16) if request.options.mask_format is MaskFormat.RAW else None
        regions = Regions(
            boxes=np.array([[0, 1, 2, 3.5]], np.float32),
            scores=np.array([0.5], np.float32),
            labels=np.array([1], np.int32),
            areas=np.array([6], np.int64),
            masks=(Rle(2, 3, b"06"),),
            image_index=np.zeros(1, np.int32),
            row_splits=np.array([0, 1]),
            region_id=("r",),
            descriptors=np.array([[1, 2]], np.float32),
        )
        return SegmentResponse(
            model=ModelRef(request.model.name, 3),
            model_digest="sha256:m",
            image_digest="sha256:i",
            width_px=3,
            height_px=2,
            label_map=LabelMap(2, 3, (segment,), labels=raw),
            regions=regions,
            refined=False,
            id=request.id,
            timings=Timings(decode_s=0.001),
        )

    def answer_encoded(self, answer, duration_s, size_bytes):
        self.encoded = (answer.model, duration_s, size_bytes)

    def live(self):
        return True

    def ready(self):
        return self.is_ready

    def accepting(self):
        return self.is_accepting

    def model_ready(self, ref):
        return ref.name in self.ready_models and ref.version in (None, 3)

    def subscribe(self, callback):
        self._callbacks.add(callback)
        return lambda: self._callbacks.discard(callback)

    def change(self, *, ready):
        self.is_ready = ready
        for callback in self._callbacks:
            callback()

    def server_metadata(self):
        return ServerMetadata("segserve", "9.9", ("statistics",))

    def model_metadata(self, ref):
        self._check(ref)
        spec = TensorSpec("x", DataType.FP32, (-1, 2))
        return ModelMetadata(ref.name, ("3",), "onnxruntime_onnx", (spec,), (spec,))

    def model_config(self, ref):
        self._check(ref)
        return parse_config(CONFIG, source="config.pbtxt")

    def model_statistics(self, ref):
        if ref is not None:
            self._check(ref)
        one = StatisticDuration(2, 2**40)
        batch = InferBatchStatistics(4, one, one, one)
        return (ModelStatistics("echo", "3", 77, 8, 2, InferStatistics(success=one), (batch,)),)

    def repository_index(self, *, ready_only):
        rows = (ModelIndexEntry("echo", "3", "READY", ""),)
        return rows if ready_only else (*rows, ModelIndexEntry("gone", "", "UNAVAILABLE", "why"))

    def segmentation_info(self, ref):
        self._check(ref)
        family = {"kind": "semantic", "image_input": "x"} if ref.name == "seg" else None
        return {"name": ref.name, "family": family}

    def label_names(self, ref):
        self._check(ref)
        return ("background", "cat")

    async def load_model(self, name, *, config_json=None, files=None):
        self.calls.append(("load", name, config_json, files))

    async def unload_model(self, name, *, unload_dependents=False):
        self.calls.append(("unload", name, unload_dependents))


@pytest.fixture
async def engine():
    return FakeEngine()


@pytest.fixture(params=["native", "grpcio"])
def front(request):
    """Give the name of what moves gRPC's bytes; every test of a server runs with both."""
    return request.param


@pytest.fixture
async def grpc_server(engine, front):
    server = GrpcServer(engine, GrpcOptions(front, max_request_bytes=1_000_000))
    server.port = await server.start()
    yield server
    await server.stop(0.1)


@pytest.fixture
async def channel(grpc_server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_server.port}") as channel:
        yield channel


@pytest.fixture
async def http_server(engine):
    server = HttpServer(engine, HttpOptions(max_request_bytes=1_000_000))
    server.port = await server.start()
    yield server
    await server.stop(0.1)


@pytest.fixture
async def http(http_server):
    url = f"http://127.0.0.1:{http_server.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
def rpc(channel):
    """Call a method of the KServe service by name: messages in and out."""
    from segserve.generated.inference import grpc_service_pb2 as pb

    async def call(name, /, timeout_s=10, metadata=None, **fields):
        request = getattr(pb, f"{name}Request")(**fields)
        method = channel.unary_unary(f"/inference.GRPCInferenceService/{name}")
        data = await method(request.SerializeToString(), timeout=timeout_s, metadata=metadata)
        return getattr(pb, f"{name}Response").FromString(data)

    return call


@pytest.fixture
def refused():
    """Expect a gRPC failure; gives the error."""

    @contextlib.contextmanager
    def expect(code, text):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            yield caught
        assert caught.value.code() is code, caught.value.details()
        assert text in caught.value.details()

    return expect
