"""What a config says that has no effect: fields that nobody honours, keys that nobody reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from segserve.families.input_rule import KEYS as FAMILY_KEYS
from segserve.families.parameter_values import nearest
from segserve.repository.layout import CLASSICAL_BACKEND, is_torchscript
from segserve.repository.model_config import ModelConfig
from segserve.repository.pbtxt import unhonoured_fields
from segserve.serving.backend_choice import ONNX_KEYS, TORCH_KEYS, devices

SERVER_KEYS = ("max_exact_buckets",)
_SESSION_ENTRIES = ("session.",)


def without_effect(
    config: ModelConfig, filename: str, versions: Collection[int]
) -> Mapping[str, str]:
    """Name the fields and parameters that are written and have no effect.

    Parameters
    ----------
    config : ModelConfig
        Completed from the model.
    filename : str
        The model file's name.
    versions : collection of int
        Those that are served.

    Returns
    -------
    Mapping of str to str
        By path, such as ``parameters[shape_polcy]``: a hint, such as ``: did you mean
        'shape_policy'?``, or nothing where there is none.

    Raises
    ------
    LoadFailed
        When the config mixes GPUs and the CPU, or names several GPUs.
    """
    return {
        **dict.fromkeys(unhonoured_fields(config), ""),
        **_absent_versions(config, versions),
        **_without_batches(config),
        **_of_other_devices(config),
        **_unread_parameters(config, filename),
    }


def _absent_versions(config: ModelConfig, versions: Collection[int]) -> Mapping[str, str]:
    policy = config.version_policy
    if policy is None or policy.specific is None:
        return {}
    absent = sorted(set(policy.specific.versions) - set(versions))
    named = ", ".join(map(str, absent))
    hint = f": of the versions that it names, these have no model file: {named}"
    return {"version_policy.specific.versions": hint} if absent else {}


def _without_batches(config: ModelConfig) -> Mapping[str, str]:
    batching = config.dynamic_batching
    if config.max_batch_size or batching is None:
        return {}
    hint = ": the model does not batch, its max_batch_size is 0"
    names = ("preferred_batch_size", "max_queue_delay_microseconds")
    return {f"dynamic_batching.{name}": hint for name in names if getattr(batching, name)}


def _of_other_devices(config: ModelConfig) -> Mapping[str, str]:
    """Name the accelerators and devices of the kind that the model is not opened on."""
    on_gpu = config.backend != CLASSICAL_BACKEND and devices(config) != (None,)
    hint = f": the model runs on the {'GPU' if on_gpu else 'CPU'}, as instance_group says"
    found = {}
    if config.optimization is not None and config.optimization.execution_accelerators is not None:
        name = f"{'cpu' if on_gpu else 'gpu'}_execution_accelerator"
        if getattr(config.optimization.execution_accelerators, name):
            found[f"optimization.execution_accelerators.{name}"] = hint
    for index, group in enumerate(config.instance_group):
        if group.gpus and not on_gpu:
            found[f"instance_group[{index}].gpus"] = f"{hint}: write kind: KIND_GPU"
    return found


def _unread_parameters(config: ModelConfig, filename: str) -> Mapping[str, str]:
    of_backend = _backend_keys(config, filename)
    of_family = FAMILY_KEYS if config.parameters.get("family", "").strip() else ("family",)
    known = {*of_backend, *of_family, *SERVER_KEYS}
    entries = _SESSION_ENTRIES if of_backend is ONNX_KEYS else ()
    return {
        f"parameters[{key}]": _hint(key, sorted(known | set(FAMILY_KEYS)))
        for key in config.parameters
        if key not in known and not key.startswith(entries)
    }


def _hint(key: str, there_are: list[str]) -> str:
    return ": it needs a family" if key in there_are else nearest(key, there_are)


def _backend_keys(config: ModelConfig, filename: str) -> tuple[str, ...]:
    if config.backend == CLASSICAL_BACKEND:  # its options are inputs too
        return tuple(spec.name for spec in config.input_specs())
    is_torch = is_torchscript(config.backend, config.platform, filename)
    return TORCH_KEYS if is_torch else ONNX_KEYS
