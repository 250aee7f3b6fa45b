"""Health, metadata, statistics and the repository over HTTP."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import ModelRef, ParameterValue
from segserve.core.tensor import TensorSpec
from segserve.serving.views import ModelStatistics
from segserve.transport.http.answers import json_answer
from segserve.transport.http.body import read_body
from segserve.transport.http.failures import told
from segserve.transport.http.json_fields import Fields, fields_of, json_object
from segserve.transport.http.proto_json import message_json
from segserve.transport.kserve import load_parameters, model_ref, unload_dependents

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

_UNAVAILABLE = 503
_MAX_PATH = 200


class Endpoints:
    """Everything but inference; one method an endpoint."""

    def __init__(self, engine: Engine, max_request_bytes: int) -> None:
        self._engine = engine
        self._max_request_bytes = max_request_bytes

    async def live(self, _request: Request) -> Response:
        """``GET /v2/health/live``."""
        live = self._engine.live()
        return json_answer({"live": live}, 200 if live else _UNAVAILABLE)

    async def ready(self, _request: Request) -> Response:
        """``GET /v2/health/ready``."""
        ready = self._engine.ready()
        return json_answer({"ready": ready}, 200 if ready else _UNAVAILABLE)

    @told
    async def model_ready(self, request: Request) -> Response:
        """``GET /v2/models/{model}[/versions/{version}]/ready``."""
        ref = _ref(request)
        ready = self._engine.model_ready(ref)
        return json_answer({"name": ref.name, "ready": ready}, 200 if ready else _UNAVAILABLE)

    async def server_metadata(self, _request: Request) -> Response:
        """``GET /v2``."""
        return json_answer(asdict(self._engine.server_metadata()))

    async def models(self, _request: Request) -> Response:
        """``GET /v2/models``."""
        rows = self._engine.repository_index(ready_only=True)
        return json_answer({"models": sorted({row.name for row in rows})})

    @told
    async def model_metadata(self, request: Request) -> Response:
        """``GET /v2/models/{model}[/versions/{version}]``."""
        told = self._engine.model_metadata(_ref(request))
        return json_answer(
            {
                "name": told.name,
                "versions": list(told.versions),
                "platform": told.platform,
                "inputs": [_tensor(spec) for spec in told.inputs],
                "outputs": [_tensor(spec) for spec in told.outputs],
            }
        )

    @told
    async def model_config(self, request: Request) -> Response:
        """``GET /v2/models/{model}[/versions/{version}]/config``."""
        return json_answer(message_json(self._engine.model_config(_ref(request)).to_proto()))

    @told
    async def model_statistics(self, request: Request) -> Response:
        """``GET /v2/models[/{model}[/versions/{version}]]/stats``."""
        ref = _ref(request) if "model" in request.path_params else None
        rows = self._engine.model_statistics(ref)
        return json_answer({"model_stats": [_statistics(row) for row in rows]})

    @told
    async def segmentation(self, request: Request) -> Response:
        """``GET /v2/models/{model}[/versions/{version}]/segmentation``."""
        return json_answer(self._engine.segmentation_info(_ref(request)))

    @told
    async def repository_index(self, request: Request) -> Response:
        """``POST /v2/repository/index``."""
        body = await self._body(request)
        ready_only = body.values.get("ready", False)
        if not isinstance(ready_only, bool):
            raise body.mistyped("ready", "true or false")
        rows = self._engine.repository_index(ready_only=ready_only)
        return json_answer([asdict(row) for row in rows])

    @told
    async def load(self, request: Request) -> Response:
        """``POST /v2/repository/models/{model}/load``."""
        name = _ref(request).name
        given = (await self._body(request)).parameters()
        told = load_parameters(name, {key: _decoded(key, value) for key, value in given.items()})
        await self._engine.load_model(name, config_json=told.config_json, files=told.files)
        return json_answer({"name": name, "load": True})

    @told
    async def unload(self, request: Request) -> Response:
        """``POST /v2/repository/models/{model}/unload``."""
        name = _ref(request).name
        dependents = unload_dependents(name, (await self._body(request)).parameters())
        await self._engine.unload_model(name, unload_dependents=dependents)
        return json_answer({"name": name, "unload": True})

    @told
    async def not_offered(self, request: Request) -> Response:
        """Refuse what Triton has and this server does not."""
        raise Unsupported(f"{request.url.path[:_MAX_PATH]} is not supported by this server")

    async def _body(self, request: Request) -> Fields:
        data = await read_body(request, self._max_request_bytes)
        return fields_of(json_object(data), "the request")


def _ref(request: Request) -> ModelRef:
    return model_ref(request.path_params["model"], request.path_params.get("version", ""))


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": list(spec.dims)}


def _statistics(row: ModelStatistics) -> dict[str, object]:
    values = asdict(row)
    values["last_inference"] = values.pop("last_inference_ms")
    return {**values, "memory_usage": []}


def _decoded(name: str, value: ParameterValue) -> object:
    """Give a load parameter's value: files come in base64."""
    if not (name.startswith("file:") and isinstance(value, str)):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"load parameter '{name}' is no base64: {error}") from None
