"""Which fields of ``ModelConfig`` have an effect here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

_TENSOR = ("name", "data_type", "dims", "reshape")
_QUEUE_POLICY = (
    *("timeout_action", "default_timeout_microseconds"),
    *("allow_timeout_override", "max_queue_size"),
)

# Paths without indices; a path stands for everything below it.
HONOURED = frozenset(
    {
        *("name", "platform", "backend", "version_policy", "max_batch_size"),
        *("default_model_filename", "parameters", "metric_tags"),
        *(f"input.{field}" for field in (*_TENSOR, "optional")),
        *(f"output.{field}" for field in (*_TENSOR, "label_filename")),
        *(f"instance_group.{field}" for field in ("kind", "count", "gpus")),
        *("optimization.graph.level", "optimization.execution_accelerators"),
        *(
            f"dynamic_batching.{field}"
            for field in (
                *("preferred_batch_size", "max_queue_delay_microseconds", "preserve_ordering"),
                *("priority_levels", "default_priority_level"),
                *(f"default_queue_policy.{field}" for field in _QUEUE_POLICY),
                *(f"priority_queue_policy.{field}" for field in _QUEUE_POLICY),
            )
        ),
        *(f"model_warmup.{field}" for field in ("name", "batch_size", "count")),
        *(f"model_warmup.inputs.{field}" for field in ("data_type", "dims")),
        *(f"model_warmup.inputs.{field}" for field in ("zero_data", "random_data")),
        "model_warmup.inputs.input_data_file",
    }
)
# Present and empty, these still ask for something.
_ASKS_BY_PRESENCE = ("sequence_batching", "ensemble_scheduling")


def unhonoured(message: Message) -> tuple[str, ...]:
    """Name the set fields of a ``ModelConfig`` message that have no effect here, by path."""
    return tuple(_walk(message, "", ""))


def _walk(message: Message, plain: str, shown: str) -> Iterator[str]:
    for field, value in message.ListFields():
        name = f"{plain}{field.name}"
        if name in HONOURED:
            continue
        if name in _ASKS_BY_PRESENCE or field.message_type is None:
            yield f"{shown}{field.name}"
            continue
        partly = any(path.startswith(f"{name}.") for path in HONOURED)
        for suffix, item in _items(field, value):
            place = f"{shown}{field.name}{suffix}"
            if isinstance(item, Message) and (partly or not suffix):
                yield from _walk(item, f"{name}.", f"{place}.")
            else:
                yield place


def _items(field: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Give the messages in a field, each with the index or key that names it."""
    if field.message_type.GetOptions().map_entry:
        yield from ((f"[{key}]", value[key]) for key in value)
    elif field.is_repeated:
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    else:
        yield "", value
