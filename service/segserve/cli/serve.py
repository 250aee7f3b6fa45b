"""``segserve serve``: every setting as a flag, then the server until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from enum import Enum
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import override

from segserve.cli.settings_report import explain
from segserve.observability.logging import setup_logging
from segserve.settings import Settings, misspelt, variable

log = logging.getLogger(__name__)
_TRITONS = {
    "give --disable-auto-complete-config instead": "--strict-model-config",
    "give --max-request-bytes instead": "--http-max-input-size",
    "give --otlp-endpoint instead": "--trace-config --trace-file --trace-level --trace-rate "
    "--trace-count --trace-log-frequency",
    "leave it out, --cpu-threads says how many cores the server uses": "--grpc-infer-thread-count "
    "--http-thread-count --buffer-manager-thread-count",
    "leave it out, this server has no such pool": "--grpc-infer-allocation-pool-size "
    "--grpc-max-response-pool-size --pinned-memory-pool-byte-size --cuda-memory-pool-byte-size "
    "--cuda-virtual-address-size",
    "leave it out, the backends are part of this server": "--backend-directory",
    "give a backend's settings as parameters in a model's config.pbtxt": "--backend-config",
    "leave it out, this server has no repository agents": "--repoagent-directory",
    "leave it out, this server has no response cache": "--cache-config --cache-directory "
    "--response-cache-byte-size",
    "leave it out, instance_group in a config.pbtxt says how many run at once": "--rate-limit "
    "--rate-limit-resource",
    "give gpu_mem_limit in the model's config.pbtxt instead": "--model-load-gpu-limit",
    "leave it out, the inference runtime says which GPUs it can use": "--enable-peer-access "
    "--min-supported-compute-capability",
    "leave it out, a model's name must be in one repository only": "--model-namespacing",
    "leave it out, config.pbtxt is the one file that is read": "--model-config-name",
    "leave it out, a failed load is not tried again by itself": "--model-load-retry-count",
    "leave it out, this server takes no shared memory": "--allow-client-shm",
    "start the server under numactl or taskset instead": "--host-policy",
    "leave it out, the server's name is segserve": "--id",
    "leave it out, only the gRPC port can be shared (--reuse-grpc-port)": "--reuse-http-port",
    "leave it out, models are not given the request's headers": "--grpc-header-forward-pattern "
    "--http-header-forward-pattern",
    "put a proxy or a mesh with TLS in front instead": "--grpc-use-ssl --grpc-use-ssl-mutual "
    "--grpc-server-cert --grpc-server-key --grpc-root-cert",
    "leave it out, answers over gRPC are not compressed": "--grpc-infer-response-compression-level",
    "leave it out, of keepalive there are --grpc-keepalive-time and --grpc-keepalive-timeout": (
        "--grpc-keepalive-permit-without-calls --grpc-http2-max-pings-without-data "
        "--grpc-http2-min-recv-ping-interval-without-data --grpc-http2-max-ping-strikes"
    ),
    "let a proxy in front refuse such requests instead": "--grpc-restricted-protocol "
    "--http-restricted-api",
    "leave it out, --allow-metrics serves all metrics there are": "--allow-cpu-metrics",
    "leave it out, metrics are read when asked for, of GPUs every 2 s": "--metrics-interval-ms",
    "leave it out, all but the lines of requests (--log-verbose) is always logged": "--log-info "
    "--log-warning --log-error",
    "leave it out, this server speaks no protocol of SageMaker's": "--allow-sagemaker "
    "--sagemaker-port --sagemaker-safe-port-range --sagemaker-thread-count",
    "leave it out, this server speaks no protocol of Vertex AI's": "--allow-vertex-ai "
    "--vertex-ai-port --vertex-ai-thread-count --vertex-ai-default-model",
    "send stderr, which has the log, to that file instead": "--log-file",
}
"""What to do instead of giving the flags of Triton's that are none here."""
_ELSEWHERE = {flag: instead for instead, flags in _TRITONS.items() for flag in flags.split()}
_ALIASES = {"model_repository": ["--model-store"]}


def add_parser(subparsers: Any) -> None:
    """Add the command with one flag per field of `Settings`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve a model repository over gRPC and HTTP",
        description="Serve a model repository. Every flag is also an environment variable: "
        "--grpc-port is SEGSERVE_GRPC_PORT.",
    )
    for name, field in Settings.model_fields.items():
        flags = ["--" + name.replace("_", "-"), *_ALIASES.get(name, [])]
        parser.add_argument(*flags, dest=name, **_flag_options(field))
    for flag in _ELSEWHERE:
        parser.add_argument(flag, action=_Elsewhere, help=argparse.SUPPRESS)


class _Elsewhere(argparse.Action):
    """Names the right flag."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        del dest
        super().__init__(option_strings, argparse.SUPPRESS, nargs="?", **options)

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        del namespace, values
        flag = option_string or self.option_strings[0]
        parser.error(f"{flag} is a flag of Triton's: {_ELSEWHERE[flag]}")


def _flag_options(field: FieldInfo) -> dict[str, Any]:
    default = "" if field.is_required() else f" (default: {_shown(field.default)})"
    options: dict[str, Any] = {
        "default": argparse.SUPPRESS,
        "help": (field.description or "").replace("%", "%%") + default,
        "metavar": "VALUE",
    }
    if field.annotation is bool:
        options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
    elif get_origin(field.annotation) is tuple:
        options["action"] = "append"
    elif isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        options["metavar"] = "|".join(str(member.value) for member in field.annotation)
    return options


def _shown(default: object) -> object:
    if isinstance(default, Enum):
        return default.value
    return str(default).lower() if isinstance(default, bool) else default


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop, 2 for bad settings."""
    given = {k: v for k, v in vars(options).items() if k in Settings.model_fields}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        print(f"segserve serve: {explain(error, given)}", file=sys.stderr)
        return 2
    gc.disable()  # what a start makes stays: `ModelControl.start` enables it again
    try:
        return _serve(settings)
    finally:
        gc.enable()


def _serve(settings: Settings) -> int:
    from segserve.app import serve

    setup_logging(settings.log_format.value, verbose=settings.log_verbose > 0)
    for name, near in misspelt().items():
        log.warning("variable_not_known", extra={"variable": name, "did_you_mean": near})

    return serve(settings)


def flags_table() -> str:
    """Give docs/flags.md: every flag, its variable, default and meaning, as a Markdown table."""
    rows = [
        f"| `--{name.replace('_', '-')}` | `{variable(name)}` | "
        f"{'(required)' if field.is_required() else f'`{_shown(field.default)}`'} | "
        f"{(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Flags of `segserve serve`\n\n"
        "Every flag is also an environment variable; the flag wins. Names are Triton's where "
        "Triton has the flag.\nThis table is written by `python -m segserve.cli.serve`.\n\n"
        "| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    print(flags_table(), end="")
