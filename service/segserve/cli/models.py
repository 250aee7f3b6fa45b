"""``segserve models``: what a running server has."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

_TIMEOUT_S = 10.0
_SERVICE = "/inference.GRPCInferenceService"


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "models",
        help="list what a running server has",
        description="List the models of a running server: name, version, state, reason, inputs "
        "and outputs.",
    )
    parser.add_argument(
        "--server", default="localhost:8001", metavar="HOST:PORT", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array, nothing else")


def run(options: argparse.Namespace) -> int:
    """List the models; 0, or 1 with the reason as the last line on standard error."""
    import grpc

    from segserve.client import SegserveError
    from segserve.client.channel import channel_options, target_of
    from segserve.client.status import from_rpc

    try:
        target = target_of(options.server)
    except SegserveError as error:
        return _complain(error.message, 2)
    with grpc.insecure_channel(target, options=channel_options()) as channel:
        try:
            models = list(_models(channel))
        except grpc.RpcError as failure:
            return _complain(f"{options.server}: {from_rpc(failure).message}", 1)
    print(json.dumps(models) if options.json else _table(models))
    return 0


def _models(channel: Any) -> Iterator[dict[str, Any]]:
    """Ask for the index, and for the tensors of what is ready."""
    import grpc

    from segserve.generated.inference import grpc_service_pb2 as pb

    def ask(method: str, request: Any, answer: Any) -> Any:
        serialize, parse = type(request).SerializeToString, answer.FromString
        call = channel.unary_unary(f"{_SERVICE}/{method}", serialize, parse)
        return call(request, timeout=_TIMEOUT_S)

    index = ask("RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse)
    for entry in index.models:
        model = {key: getattr(entry, key) for key in ("name", "version", "state", "reason")}
        told = pb.ModelMetadataResponse()
        if entry.state == "READY":
            wanted = pb.ModelMetadataRequest(name=entry.name, version=entry.version)
            try:
                told = ask("ModelMetadata", wanted, pb.ModelMetadataResponse)
            except grpc.RpcError as failure:
                model["reason"] = f"it has gone since: {failure.details()}"
        yield model | {"inputs": _tensors(told.inputs), "outputs": _tensors(told.outputs)}


def _tensors(told: Any) -> list[dict[str, object]]:
    return [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in told]


def _table(models: list[dict[str, Any]]) -> str:
    rows = [["NAME", "VERSION", "STATE", "INPUTS", "OUTPUTS", "REASON"]]
    for model in models:
        tensors = [", ".join(map(_shown, model[side])) for side in ("inputs", "outputs")]
        state = [model["name"], model["version"] or "-", model["state"] or "-"]
        rows.append([*state, *tensors, " ".join(model["reason"].split())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _shown(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} {tensor['datatype']} {tensor['shape']}"


def _complain(reason: str, code: int) -> int:
    print(f"segserve models: {' '.join(reason.split())}", file=sys.stderr)
    return code
