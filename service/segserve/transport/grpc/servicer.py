"""``inference.GRPCInferenceService``: its rpcs as handlers of bytes.

Message numbers and texts follow Triton's ``grpc_server.cc``; clients of the plain KServe proto get
the fields that they read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from segserve.core.errors import InvalidInput, ServiceError, Unsupported
from segserve.core.tensor import TensorSpec
from segserve.generated.inference import grpc_service_pb2 as pb
from segserve.transport.grpc import codec
from segserve.transport.grpc.calls import Calls, call_of
from segserve.transport.grpc.encoding import measured
from segserve.transport.grpc.methods import Method, RpcContext, Service
from segserve.transport.grpc.statistics import statistics_message
from segserve.transport.kserve import load_parameters, model_ref, unload_dependents
from segserve.transport.tensor_bytes import Buffer

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

SERVICE = "inference.GRPCInferenceService"
_METHODS = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods


class InferenceServicer:
    """Answers the rpcs that are named like its methods."""

    def __init__(self, engine: Engine, calls: Calls) -> None:
        self._engine = engine
        self._calls = calls

    def methods(self) -> Service:
        """Give what a gRPC server serves; rpcs that are not offered answer UNIMPLEMENTED."""
        answers = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "ModelInfer": self.model_infer,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_model_load,
            "RepositoryModelUnload": self.repository_model_unload,
        }
        methods: Service = {
            name: self._calls.unary(f"{SERVICE}/{name}", answer) for name, answer in answers.items()
        }
        for method in _METHODS:
            if method.name not in methods:
                methods[method.name] = self._not_offered(method)
        return methods

    def _not_offered(self, method: Any) -> Method:
        name = f"{SERVICE}/{method.name}"
        text = f"rpc {method.name} of {SERVICE} is not supported by this server"

        async def refuse(_message: Buffer, _context: RpcContext) -> bytes:
            raise Unsupported(text)

        async def refuse_stream(_messages: AsyncIterator[Buffer], _context: RpcContext) -> None:
            raise Unsupported(text)

        if method.client_streaming:
            return self._calls.stream(name, refuse_stream)
        return self._calls.unary(name, refuse)

    async def model_infer(self, message: Buffer, context: RpcContext) -> bytes:
        """Tensors in, tensors out."""
        self._calls.check_open()
        request = codec.decode_request(message, call_of(context))
        try:
            response = await self._engine.infer(request)
        except ServiceError as error:
            error.request_id = request.id
            raise
        encode = partial(codec.encode_response, request, response)
        return measured(self._engine, response, encode)

    async def server_live(self, _message: Buffer, _context: RpcContext) -> bytes:
        """Whether the process works."""
        return _written(pb.ServerLiveResponse(live=self._engine.live()))

    async def server_ready(self, _message: Buffer, _context: RpcContext) -> bytes:
        """Whether new traffic should come here."""
        ready = self._engine.ready() and not self._calls.refusing
        return _written(pb.ServerReadyResponse(ready=ready))

    async def model_ready(self, message: Buffer, _context: RpcContext) -> bytes:
        """Whether a model serves."""
        request = codec.parse(pb.ModelReadyRequest, message)
        ref = model_ref(request.name, request.version)
        return _written(pb.ModelReadyResponse(ready=self._engine.model_ready(ref)))

    async def server_metadata(self, _message: Buffer, _context: RpcContext) -> bytes:
        """Name, version and extensions."""
        told = self._engine.server_metadata()
        return _written(
            pb.ServerMetadataResponse(
                name=told.name, version=told.version, extensions=told.extensions
            )
        )

    async def model_metadata(self, message: Buffer, _context: RpcContext) -> bytes:
        """Tensors and versions of a model."""
        request = codec.parse(pb.ModelMetadataRequest, message)
        told = self._engine.model_metadata(model_ref(request.name, request.version))
        return _written(
            pb.ModelMetadataResponse(
                name=told.name,
                versions=told.versions,
                platform=told.platform,
                inputs=[_tensor(spec) for spec in told.inputs],
                outputs=[_tensor(spec) for spec in told.outputs],
            )
        )

    async def model_config(self, message: Buffer, _context: RpcContext) -> bytes:
        """Give the effective configuration of a model."""
        request = codec.parse(pb.ModelConfigRequest, message)
        config = self._engine.model_config(model_ref(request.name, request.version))
        return _written(pb.ModelConfigResponse(config=config.to_proto()))

    async def model_statistics(self, message: Buffer, _context: RpcContext) -> bytes:
        """Give the statistics of a model, or of all."""
        request = codec.parse(pb.ModelStatisticsRequest, message)
        ref = model_ref(request.name, request.version) if request.name else None
        rows = self._engine.model_statistics(ref)
        return _written(
            pb.ModelStatisticsResponse(model_stats=[statistics_message(row) for row in rows])
        )

    async def repository_index(self, message: Buffer, _context: RpcContext) -> bytes:
        """Give the repository's models and their states."""
        request = codec.parse(pb.RepositoryIndexRequest, message)
        if request.repository_name:
            raise Unsupported("'repository_name' specification is not supported")
        rows = self._engine.repository_index(ready_only=request.ready)
        response = pb.RepositoryIndexResponse()
        for row in rows:
            response.models.add(
                name=row.name, version=row.version, state=row.state, reason=row.reason
            )
        return _written(response)

    async def repository_model_load(self, message: Buffer, _context: RpcContext) -> bytes:
        """Load or reload a model."""
        request = codec.parse(pb.RepositoryModelLoadRequest, message)
        name = _model_name(request)
        told = load_parameters(name, _repository_parameters(request.parameters))
        await self._engine.load_model(name, config_json=told.config_json, files=told.files)
        return _written(pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True))

    async def repository_model_unload(self, message: Buffer, _context: RpcContext) -> bytes:
        """Unload a model."""
        request = codec.parse(pb.RepositoryModelUnloadRequest, message)
        name = _model_name(request)
        dependents = unload_dependents(name, _repository_parameters(request.parameters))
        await self._engine.unload_model(name, unload_dependents=dependents)
        return _written(pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True))


def _written(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.dtype.value, shape=spec.dims
    )


def _model_name(request: Any) -> str:
    """Give the model's name, which the plain KServe proto has in field 1, Triton's in field 2."""
    if request.model_name and request.repository_name:
        raise Unsupported("'repository_name' specification is not supported")
    name: str = request.model_name or request.repository_name
    if not name:
        raise InvalidInput("the request names no model: set model_name")
    return name


def _repository_parameters(parameters: Mapping[str, Any]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = None if choice is None else getattr(parameter, choice)
    return values
