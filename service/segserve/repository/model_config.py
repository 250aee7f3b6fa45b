"""Triton's ``ModelConfig``, field by field, as frozen dataclasses.

Names and meanings are those of ``proto/inference/model_config.proto``. Every message that the
server acts on has a dataclass; what no dataclass has a field for stays, serialised, in `rest`, so
that the ModelConfig rpc gives back all that was written. ``proto_fields`` maps the two onto each
other by field name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from segserve.core.errors import LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.generated.inference import model_config_pb2
from segserve.repository.proto_fields import write_fields


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


class TensorFormat(StrEnum):
    """``ModelInput.Format``: informative."""

    NONE = "FORMAT_NONE"
    NHWC = "FORMAT_NHWC"
    NCHW = "FORMAT_NCHW"


class InstanceKind(StrEnum):
    """``ModelInstanceGroup.Kind``: where instances run."""

    AUTO = "KIND_AUTO"
    GPU = "KIND_GPU"
    CPU = "KIND_CPU"
    MODEL = "KIND_MODEL"


class TimeoutAction(StrEnum):
    """``ModelQueuePolicy.TimeoutAction``: what becomes of a request that waited too long."""

    REJECT = "REJECT"
    DELAY = "DELAY"


@dataclass(frozen=True)
class TensorReshape:
    """``ModelTensorReshape``: the model's own shape, where requests have another."""

    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelInput:
    """One input; `dims` without the batch axis when the model batches, -1 is free."""

    name: str = ""
    data_type: DataType | None = None
    format: TensorFormat = TensorFormat.NONE
    dims: tuple[int, ...] = ()
    reshape: TensorReshape | None = None
    is_shape_tensor: bool = False
    allow_ragged_batch: bool = False
    optional: bool = False
    is_non_linear_format_io: bool = False


@dataclass(frozen=True)
class ModelOutput:
    """One output; `label_filename` names a file in the model's folder."""

    name: str = ""
    data_type: DataType | None = None
    dims: tuple[int, ...] = ()
    reshape: TensorReshape | None = None
    label_filename: str = ""
    is_shape_tensor: bool = False
    is_non_linear_format_io: bool = False


def graph_dims(tensor: ModelInput | ModelOutput) -> tuple[int, ...]:
    """Give what a config says of the model file's shape; empty too where it says nothing."""
    return tensor.dims if tensor.reshape is None else tensor.reshape.shape


@dataclass(frozen=True)
class LatestVersions:
    """Serve the highest `num_versions` (0 counts as 1)."""

    num_versions: int = 0


@dataclass(frozen=True)
class AllVersions:
    """Serve every version."""


@dataclass(frozen=True)
class SpecificVersions:
    """Serve these versions."""

    versions: tuple[int, ...] = ()


@dataclass(frozen=True)
class VersionPolicy:
    """One of the three; none of them means the latest one."""

    latest: LatestVersions | None = None
    all: AllVersions | None = None
    specific: SpecificVersions | None = None


@dataclass(frozen=True)
class InstanceGroup:
    """Execution slots; `count` 0 leaves the number to the server."""

    name: str = ""
    kind: InstanceKind = InstanceKind.AUTO
    count: int = 0
    gpus: tuple[int, ...] = ()
    rest: bytes = b""


@dataclass(frozen=True)
class OptimizationGraph:
    """Graph optimisation: -1 none or basic, 1 extended, anything else all."""

    level: int = 0


@dataclass(frozen=True)
class Accelerator:
    """An execution provider by Triton's name, e.g. ``cuda``."""

    name: str = ""
    parameters: Mapping[str, str] = field(default_factory=_empty)


@dataclass(frozen=True)
class ExecutionAccelerators:
    """Execution providers, tried in order."""

    gpu_execution_accelerator: tuple[Accelerator, ...] = ()
    cpu_execution_accelerator: tuple[Accelerator, ...] = ()


@dataclass(frozen=True)
class Optimization:
    """``ModelOptimizationPolicy``; None where the config says nothing."""

    graph: OptimizationGraph | None = None
    execution_accelerators: ExecutionAccelerators | None = None
    rest: bytes = b""


@dataclass(frozen=True)
class QueuePolicy:
    """``ModelQueuePolicy``; zeros mean no time-out and no limit."""

    timeout_action: TimeoutAction = TimeoutAction.REJECT
    default_timeout_microseconds: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0


@dataclass(frozen=True)
class DynamicBatching:
    """``ModelDynamicBatching``; priority level 1 is the highest."""

    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    default_queue_policy: QueuePolicy | None = None
    priority_queue_policy: Mapping[int, QueuePolicy] = field(default_factory=_empty)


@dataclass(frozen=True)
class WarmupInput:
    """One tensor of a warm-up sample; one of the three kinds of data."""

    data_type: DataType | None = None
    dims: tuple[int, ...] = ()
    zero_data: bool | None = None
    random_data: bool | None = None
    input_data_file: str | None = None


@dataclass(frozen=True)
class ModelWarmup:
    """A sample that runs before the model is ready; `count` 0 counts as 1."""

    name: str = ""
    batch_size: int = 0
    inputs: Mapping[str, WarmupInput] = field(default_factory=_empty)
    count: int = 0


@dataclass(frozen=True)
class TransactionPolicy:
    """``ModelTransactionPolicy``."""

    decoupled: bool = False


@dataclass(frozen=True)
class Origin:
    """Where a config was written, for messages.

    Parameters
    ----------
    source : str
        A path, or words for a config that came in a request.
    lines : Mapping of str to int
        Line number (from 1) by field path, such as ``input[0].dims``: the fields written there.
    """

    source: str = ""
    lines: Mapping[str, int] = field(default_factory=_empty)

    def at(self, path: str) -> str:
        """Give ``source:line: path``, with the line of the nearest enclosing field written."""
        where = path
        while where and where not in self.lines:
            shorter = where.rpartition(".")[0]
            where = where.rpartition("[")[0] if where.endswith("]") else shorter
        line = f":{self.lines[where]}" if where else ""
        return f"{self.source}{line}: {path}" if self.source else path

    def wrote(self, path: str) -> bool:
        """Whether the field stands in the text, even with its default value."""
        return path in self.lines


@dataclass(frozen=True)
class ModelConfig:
    """One model's config; see ``docs/configuration.md`` for what each field does here."""

    name: str = ""
    platform: str = ""
    backend: str = ""
    version_policy: VersionPolicy | None = None
    max_batch_size: int = 0
    input: tuple[ModelInput, ...] = ()
    output: tuple[ModelOutput, ...] = ()
    instance_group: tuple[InstanceGroup, ...] = ()
    default_model_filename: str = ""
    optimization: Optimization | None = None
    dynamic_batching: DynamicBatching | None = None
    parameters: Mapping[str, str] = field(default_factory=_empty)
    model_warmup: tuple[ModelWarmup, ...] = ()
    metric_tags: Mapping[str, str] = field(default_factory=_empty)
    model_transaction_policy: TransactionPolicy | None = None
    rest: bytes = b""
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)

    def input_specs(self) -> tuple[TensorSpec, ...]:
        """Give the inputs without the batch axis.

        Raises
        ------
        LoadFailed
            When an input has no datatype, which completing the config gives it.
        """
        return tuple(
            TensorSpec(t.name, _typed(t.data_type, self.name, t.name), t.dims, t.optional)
            for t in self.input
        )

    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Give the outputs without the batch axis; raises as `input_specs` does."""
        return tuple(
            TensorSpec(t.name, _typed(t.data_type, self.name, t.name), t.dims) for t in self.output
        )

    def to_proto(self) -> model_config_pb2.ModelConfig:
        """Give the protobuf message: all that was written and all that was completed."""
        message = model_config_pb2.ModelConfig()
        write_fields(self, message)
        return message


def _typed(data_type: DataType | None, model: str, tensor: str) -> DataType:
    if data_type is None:
        raise LoadFailed(
            f"model '{model}': tensor '{tensor}' has no data_type: write one, e.g. TYPE_FP32"
        )
    return data_type
