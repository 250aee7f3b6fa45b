"""The infer endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from segserve.core.errors import Cancelled, InvalidInput, ServiceError
from segserve.core.messages import InferResponse, ModelRef
from segserve.transport.http import infer_codec
from segserve.transport.http.body import compressed, read_body
from segserve.transport.http.failures import told
from segserve.transport.http.infer_codec import HEADER_LENGTH, Decoded
from segserve.transport.kserve import Call, RequestHead, model_ref
from segserve.transport.parameters import trace_context

if TYPE_CHECKING:
    from segserve.serving.engine import Engine

T = TypeVar("T")
_BINARY = "application/octet-stream"
_THREAD_FROM_BYTES = 65_536
_IMAGE_STARTS = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""As images begin and JSON never does: kinds that are refused too, so that this is what is said."""

_BEFORE_JSON = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""White space, byte order marks, and the zeros of UTF-16 and UTF-32."""


class InferEndpoint:
    """Tensors or an image in, tensors out."""

    def __init__(self, engine: Engine, max_request_bytes: int) -> None:
        self._engine = engine
        self._max_request_bytes = max_request_bytes

    @told
    async def answer(self, request: Request) -> Response:
        """Answer ``POST /v2/models/{model}[/versions/{version}]/infer``."""
        path = request.path_params
        ref = model_ref(path["model"], path.get("version", ""))
        try:
            body = await read_body(request, self._max_request_bytes)
            decoded = self._decode(request, ref, body)
            response = await self._infer(request, decoded)
        except ClientDisconnect:
            raise Cancelled("the caller has gone") from None
        start_s = time.perf_counter()
        data, header_length = infer_codec.encode_response(decoded, response)
        self._engine.answer_encoded(response, time.perf_counter() - start_s, len(data))
        return await _written(data, header_length, request.headers.get("accept-encoding", ""))

    async def _infer(self, request: Request, decoded: Decoded) -> InferResponse:
        try:
            return await _while_connected(request, self._engine.infer(decoded.request))
        except ServiceError as error:
            error.request_id = decoded.request.id
            raise

    def _decode(self, request: Request, ref: ModelRef, body: bytes) -> Decoded:
        call = Call(trace=trace_context(request.headers.items()))
        length = request.headers.get(HEADER_LENGTH)
        has_type = request.headers.get("content-type", "").startswith("image/")
        is_image_file = has_type or (length is None and _begins_as_image(body))
        if (length is not None and length.strip() == "0") or (length is None and is_image_file):
            head = RequestHead(ref, "", dict(request.query_params), call)
            return self._decode_raw(head, body, is_image_file=is_image_file)
        try:
            return infer_codec.decode_request(RequestHead(ref, "", {}, call), body, length)
        except InvalidInput as error:
            if length is not None or body.lstrip(_BEFORE_JSON)[:1] in {b"{", b""}:
                raise
            raise InvalidInput(
                f"{error.message}; the body is no JSON object, and no image: a JPEG, PNG or WebP "
                f"begins otherwise"
            ) from None

    def _decode_raw(self, head: RequestHead, body: bytes, *, is_image_file: bool) -> Decoded:
        told = self._engine.model_metadata(head.model)
        image_input = self._image_input(head.model)
        fed = {spec.name: spec for spec in told.inputs}
        if image_input not in fed and len(fed) != 1:
            raise InvalidInput(
                f"a raw request needs a model with one input, or one that takes images; "
                f"'{head.model.name}' has {len(fed)}: send a JSON header"
            )
        spec = fed.get(image_input, told.inputs[0])
        is_image = is_image_file or bool(image_input)
        batched = self._engine.model_config(head.model).max_batch_size > 0
        return infer_codec.decode_raw_request(head, body, spec, is_image=is_image, batched=batched)

    def _image_input(self, ref: ModelRef) -> str:
        """Give the input that the model's family fills from an image; empty without a family."""
        info: Mapping[str, object] = self._engine.segmentation_info(ref)
        family = info.get("family")
        return str(family["image_input"]) if isinstance(family, Mapping) else ""


def _begins_as_image(body: bytes) -> bool:
    return body.startswith(_IMAGE_STARTS) or body[4:8] == b"ftyp"  # the latter: HEIC, AVIF


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer, and cancel the work when the caller goes first.

    Raises
    ------
    Cancelled
        When the caller has gone.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Cancelled("the caller has gone")
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _written(data: bytes, header_length: int | None, accept_encoding: str) -> Response:
    encoding = ""
    if accept_encoding:
        if len(data) >= _THREAD_FROM_BYTES:
            data, encoding = await asyncio.to_thread(compressed, data, accept_encoding)
        else:
            data, encoding = compressed(data, accept_encoding)
    answer = Response(data, media_type="application/json" if header_length is None else _BINARY)
    if header_length is not None:
        answer.headers[HEADER_LENGTH] = str(header_length)
    if encoding:
        answer.headers["content-encoding"] = encoding
    return answer
