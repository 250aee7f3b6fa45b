"""grpcio as the front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from segserve.transport.grpc.front import GrpcOptions, Services
from segserve.transport.grpc.methods import Method, RpcFailed, Unary
from segserve.transport.listening import cannot_listen

_NO_LIMIT = -1
_NEVER_MS = 2**31 - 1
Context = Any  # grpc.aio.ServicerContext, whose stubs call time_remaining() never None


class GrpcioFront:
    """Serves through ``grpc.aio``."""

    def __init__(self, services: Services, options: GrpcOptions) -> None:
        self._options = options
        self._server = grpc.aio.server(
            options=_arguments(options), maximum_concurrent_rpcs=options.max_concurrent_rpcs
        )
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    name, {method: _handler(handled) for method, handled in service.items()}
                )
                for name, service in services.items()
            )
        )

    async def start(self) -> int:
        """Listen; gives the port. Raises LoadFailed when it cannot be had."""
        listen = self._options.listen
        try:
            bound = self._server.add_insecure_port(f"{listen.host}:{listen.port}")
        except RuntimeError as error:
            raise cannot_listen(listen, error) from error
        if bound == 0:
            raise cannot_listen(listen, "no such address")
        await self._server.start()
        return bound

    def retire(self) -> None:
        """Do nothing: grpcio tells callers to leave when it closes."""

    async def heeded(self, timeout_s: float) -> None:
        """Do nothing."""

    def admit(self) -> None:
        """Do nothing: callers are admitted until it closes."""

    async def close(self, grace_s: float) -> None:
        """End: what takes longer than `grace_s` seconds is cancelled."""
        await self._server.stop(grace_s)


def _handler(method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def unary(message: bytes, context: Context) -> bytes:
        try:
            return await method.answer(message, context)  # type: ignore[arg-type,return-value]  # a Unary
        except RpcFailed as failure:
            await _abort(context, failure)
            raise  # abort() has raised

    async def stream(messages: AsyncIterator[bytes], context: Context) -> None:
        try:
            await method.answer(messages, context)  # type: ignore[arg-type]  # a Streaming
        except RpcFailed as failure:
            await _abort(context, failure)

    if isinstance(method, Unary):
        return grpc.unary_unary_rpc_method_handler(unary)
    return grpc.stream_stream_rpc_method_handler(stream)


async def _abort(context: Context, failure: RpcFailed) -> None:
    await context.abort(grpc.StatusCode[failure.status], failure.text, failure.trailers)


def _arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    """Give the channel arguments: grpc/include/grpc/impl/channel_arg_names.h."""
    return [
        ("grpc.max_receive_message_length", options.max_request_bytes),
        ("grpc.max_send_message_length", _NO_LIMIT),
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.keepalive_time_ms", options.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout_ms),
        ("grpc.max_connection_age_ms", options.max_connection_age_ms or _NEVER_MS),
        ("grpc.max_connection_age_grace_ms", options.max_connection_age_grace_ms or _NEVER_MS),
    ]
