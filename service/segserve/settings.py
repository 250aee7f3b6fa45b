"""Every setting of the server: typed, documented, read once, passed on as values.

A field is a flag (``--grpc-port``) and an environment variable (``SEGSERVE_GRPC_PORT``); the flag
wins. Flags carry Triton's names where Triton has the flag.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from segserve.observability.latency_forms import read_forms

INT32_MAX = 2**31 - 1
_PREFIX = "SEGSERVE_"
_OF_A_SERVICE = re.compile(
    r"SEGSERVE_PORT(_.*)?|SEGSERVE(_.*)?_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_.*)"
)
LINK = re.compile("(tcp|udp|sctp)://")
_NEAR = 0.85


class ControlMode(Enum):
    """Who decides which models are loaded."""

    NONE = "none"
    POLL = "poll"
    EXPLICIT = "explicit"


class LogFormat(Enum):
    """How a log line looks."""

    JSON = "json"
    DEFAULT = "default"
    ISO8601 = "ISO8601"


class GrpcFront(Enum):
    """What moves gRPC's bytes."""

    NATIVE = "native"
    GRPCIO = "grpcio"


class OverloadStatus(Enum):
    """The gRPC status of an answer to a caller who came when a queue was full."""

    UNAVAILABLE = "unavailable"
    RESOURCE_EXHAUSTED = "resource_exhausted"


class Settings(BaseModel):
    """The server's settings; docs/flags.md lists them all.

    Parameters
    ----------
    **given
        Fields by name, as texts or values; the environment gives those that are left out.

    Raises
    ------
    pydantic.ValidationError
        For an unknown field, a missing one or a bad value; `explain` makes lines of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # --- models
    model_repository: tuple[Path, ...] = Field(
        description="Folder of models; may be given more than once (environment: separated by ':')"
    )
    model_name: str | None = Field(
        None, description="Serve the repository folder itself, or a bare model file, by this name"
    )
    model_control_mode: ControlMode = Field(
        ControlMode.NONE,
        description="none: load all at start; poll: follow the folder; explicit: load on request",
    )
    repository_poll_secs: float = Field(
        15.0, gt=0, description="Seconds between two looks at the repository in mode poll"
    )
    load_model: tuple[str, ...] = Field(
        (), description="To load at start in mode explicit; '*': all; repeated, or separated by ','"
    )
    model_load_thread_count: int = Field(2, ge=1, description="Models loaded at the same time")
    disable_auto_complete_config: bool = Field(
        default=False, description="Do not fill a config.pbtxt from the model file"
    )
    exit_on_error: bool = Field(default=False, description="Exit if a model fails to load at start")
    strict_readiness: bool = Field(
        default=True, description="Ready only when every model that should be loaded is ready"
    )
    # --- protocols
    allow_grpc: bool = Field(default=True, description="Serve gRPC")
    grpc_address: str = Field("0.0.0.0", description="Address of the gRPC server")  # noqa: S104  as Triton
    grpc_port: int = Field(8001, ge=0, le=65535, description="gRPC port; 0 for any free one")
    grpc_front: GrpcFront = Field(
        GrpcFront.NATIVE, description="What moves gRPC's bytes: our own HTTP/2 core, or grpcio"
    )
    reuse_grpc_port: bool = Field(
        default=False, description="Let several servers share the gRPC port (SO_REUSEPORT)"
    )
    grpc_keepalive_time: int = Field(
        7_200_000, ge=1, description="Milliseconds without traffic before a keepalive ping"
    )
    grpc_keepalive_timeout: int = Field(
        20_000, ge=1, description="Milliseconds to wait for a keepalive ping's answer"
    )
    grpc_max_connection_age: int = Field(
        0, ge=0, description="Milliseconds until a connection is asked to reconnect; 0 for never"
    )
    grpc_max_connection_age_grace: int = Field(
        0, ge=0, description="Milliseconds for such a connection's calls to end; 0 for no limit"
    )
    allow_http: bool = Field(default=True, description="Serve HTTP")
    http_address: str = Field("0.0.0.0", description="Address of the HTTP server")  # noqa: S104  as Triton
    http_port: int = Field(8000, ge=0, le=65535, description="HTTP port; 0 for any free one")
    allow_metrics: bool = Field(default=True, description="Serve Prometheus metrics")
    allow_gpu_metrics: bool = Field(default=True, description="Serve those of NVIDIA's GPUs, too")
    metrics_address: str = Field("0.0.0.0", description="Address of the metrics server")  # noqa: S104  as Triton
    metrics_port: int = Field(8002, ge=0, le=65535, description="Metrics port; 0 for any free one")
    metrics_config: tuple[str, ...] = Field(
        (),
        description="Forms of Triton's latencies: counter_latencies=true|false, "
        "summary_latencies=..., histogram_latencies=..., summary_quantiles=Q:E,...; repeated, or "
        "separated by ';'",
    )
    # --- limits
    max_request_bytes: int = Field(
        INT32_MAX, ge=1024, le=INT32_MAX, description="Largest request message, in bytes"
    )
    max_image_pixels: int = Field(
        64_000_000, ge=1, description="Largest image, in pixels, looked at before it is decoded"
    )
    max_concurrent_rpcs: int = Field(
        1024, ge=1, description="RPCs held at the same time; more are refused"
    )
    max_pending_bytes: int = Field(
        4 << 30, ge=1 << 20, description="Memory that all admitted requests may need, in bytes"
    )
    overload_status: OverloadStatus = Field(
        OverloadStatus.UNAVAILABLE, description="gRPC status when a queue is full"
    )
    cpu_threads: int = Field(
        0, ge=0, le=1024, description="Cores, at most 1024; 0: what cgroup and affinity mask allow"
    )
    cpu_queue_size: int = Field(
        1024, ge=1, description="Images that may wait to be decoded; more are refused"
    )
    cpu_queue_bytes: int = Field(
        2 << 30, ge=1 << 20, description="Memory that images which wait to be decoded may need"
    )
    refine_queue_size: int = Field(
        64, ge=0, description="Refinements that may wait; more leave the map unrefined"
    )
    refine_queue_bytes: int = Field(
        1 << 30, ge=1 << 20, description="Working memory that all refinements may need, in bytes"
    )
    worker_memory_bytes: int = Field(
        4 << 30, ge=0, description="Address space of a library's worker process; 0 for no limit"
    )
    # --- life and death
    drain_delay: float = Field(
        0.0, ge=0, description="Seconds to go on serving after SIGTERM, while not ready"
    )
    exit_timeout_secs: float = Field(
        30.0, ge=0, description="Seconds that running requests get to end when the server stops"
    )
    # --- telling
    log_format: LogFormat = Field(LogFormat.JSON, description="json, default or ISO8601")
    log_verbose: int = Field(
        0, ge=0, description="0: events; 1 and more, as Triton takes them: every request as well"
    )
    otlp_endpoint: str = Field(
        "", description="OTLP/HTTP collector to send spans to, e.g. http://localhost:4318"
    )

    def __init__(self, **given: Any) -> None:
        environment = os.environ  # noqa: TID251  the one module that reads settings from it
        variables = {name: variable(name) for name in type(self).model_fields}
        found = {name: environment[v] for name, v in variables.items() if v in environment}
        super().__init__(**{**found, **given})

    @field_validator("model_repository", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(value.split(":")) if isinstance(value, str) else value

    @field_validator("load_model", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return _parts(value, ",")

    @field_validator("metrics_config", mode="before")
    @classmethod
    def _split_forms(cls, value: object) -> object:
        return _parts(value, ";")

    @field_validator("metrics_config")
    @classmethod
    def _forms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_forms(value)
        return value

    @field_validator("load_model")
    @classmethod
    def _loads_on_request(cls, value: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        mode = others.data.get("model_control_mode")
        if value and mode in (ControlMode.NONE, ControlMode.POLL):
            raise ValueError(
                f"expected --model-control-mode=explicit beside it, got {mode.value}, which loads "
                f"every model; set the mode or leave it out"
            )
        return value

    @field_validator("log_verbose", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        """Triton takes true and false for 1 and 0."""
        return {"true": 1, "false": 0}.get(str(value).lower(), value)

    @field_validator("allow_http")
    @classmethod
    def _answers_requests(cls, value: bool, others: ValidationInfo) -> bool:  # noqa: FBT001  pydantic's form
        if not value and others.data.get("allow_grpc") is False:
            raise ValueError(
                "expected true where --allow-grpc is false, as nothing would answer requests; "
                "leave one of the two on"
            )
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        if value and not _is_web_address(value):
            raise ValueError(
                "expected http:// or https:// and a host, e.g. http://localhost:4318; "
                "leave it out or empty to send no spans"
            )
        return value


def _parts(value: object, separator: str) -> object:
    """Split a variable's text, or each of a flag's; what is neither is left to the type's check."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    return tuple(part for text in texts for part in text.split(separator) if part)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.port != 0  # `port` raises for what is none
    except ValueError:
        return False
    return whole and parts.scheme in {"http", "https"} and not re.search(r"\s", text)


def variable(name: str) -> str:
    """Give the environment's name of a field."""
    return _PREFIX + name.upper()


def misspelt() -> dict[str, str]:
    """Give the environment's variables that are near to a setting's, each with that one.

    Those that Kubernetes sets for a Service whose name begins with segserve are none of them.
    """
    environment = os.environ  # noqa: TID251  the one module that reads settings from it
    known = [variable(name) for name in Settings.model_fields]
    found: dict[str, str] = {}
    for name, value in environment.items():
        stranger = name.startswith(_PREFIX) and name not in known
        if stranger and not _OF_A_SERVICE.fullmatch(name) and not LINK.match(value):
            near = get_close_matches(name, known, n=1, cutoff=_NEAR)
            found |= {name: near[0]} if near else {}
    return found
