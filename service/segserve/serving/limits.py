"""From a model's config to the limits that the batcher keeps."""

from __future__ import annotations

from segserve.core.errors import LoadFailed
from segserve.repository.layout import CLASSICAL_BACKEND
from segserve.repository.model_config import (
    DynamicBatching,
    InstanceKind,
    ModelConfig,
    QueuePolicy,
    TimeoutAction,
)
from segserve.scheduling import policy

"""The backend of segmenters without weights."""
_DEFAULT_MAX_BUCKETS = 64


def batch_limits(config: ModelConfig, *, cores: int, on_cpu: bool) -> policy.BatchLimits:
    """Give the limits that a config stands for.

    Parameters
    ----------
    cores : int
        Instances of a CPU model whose config gives no count.
    on_cpu : bool
        Where the model really runs.

    Notes
    -----
    Without ``dynamic_batching`` every image runs alone, as in Triton; with ``max_batch_size`` 0
    there is no batch axis at all.
    """
    batching = config.dynamic_batching
    size = config.max_batch_size if batching is not None or config.max_batch_size == 0 else 1
    settings = batching or DynamicBatching()
    return policy.BatchLimits(
        max_batch_size=size,
        instances=instance_count(config, cores=cores, on_cpu=on_cpu),
        preferred_batch_sizes=settings.preferred_batch_size,
        max_queue_delay_s=settings.max_queue_delay_microseconds * 1e-6,
        preserve_ordering=settings.preserve_ordering,
        spread=on_cpu,
        max_buckets=whole_number(config, "max_exact_buckets", _DEFAULT_MAX_BUCKETS),
        priority_levels=settings.priority_levels,
        default_priority=settings.default_priority_level,
        default_policy=_queue_policy(settings.default_queue_policy),
        queue_policies={
            level: _queue_policy(given) for level, given in settings.priority_queue_policy.items()
        },
    )


def whole_number(config: ModelConfig, key: str, default: int) -> int:
    """Read a whole number from the config's parameters.

    Raises
    ------
    LoadFailed
        When the parameter is something else.
    """
    text = config.parameters.get(key, str(default))
    try:
        return int(text)
    except ValueError:
        raise LoadFailed(
            f"model '{config.name}': parameter '{key}' is '{text}'; expected a whole number"
        ) from None


def instance_count(config: ModelConfig, *, cores: int, on_cpu: bool) -> int:
    """Give how many batches may run at the same time.

    The sum of the groups' counts (for KIND_GPU per device); without a count, one per core on a CPU
    and one on an accelerator; one core less for who `leaves_a_core`.
    """
    if leaves_a_core(config):
        cores = max(1, cores - 1)
    return _asked_for(config) or (cores if on_cpu else 1)


def leaves_a_core(config: ModelConfig) -> bool:
    """Whether the runs of all such models together leave a core to the others.

    So do segmenters without weights, which may take seconds, unless the config gives a count.
    """
    return config.backend == CLASSICAL_BACKEND and not _asked_for(config)


def _asked_for(config: ModelConfig) -> int:
    """Give how many instances the config names, 0 for none."""
    total = 0
    for group in config.instance_group:
        devices = len(group.gpus) if group.kind is InstanceKind.GPU and group.gpus else 1
        total += group.count * devices
    return total


def _queue_policy(given: QueuePolicy | None) -> policy.QueuePolicy:
    if given is None:
        return policy.QueuePolicy()
    return policy.QueuePolicy(
        reject=given.timeout_action is TimeoutAction.REJECT,
        default_timeout_us=given.default_timeout_microseconds,
        allow_timeout_override=given.allow_timeout_override,
        max_queue_size=given.max_queue_size,
    )
