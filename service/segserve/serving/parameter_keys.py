"""Which keys of a config's ``parameters`` somebody reads: family, backend, or server."""

from __future__ import annotations

from collections.abc import Mapping

from segserve.families.input_rule import KEYS as FAMILY_KEYS
from segserve.families.parameter_values import nearest
from segserve.repository.layout import is_torchscript
from segserve.repository.model_config import ModelConfig
from segserve.serving.backend_choice import ONNX_KEYS, TORCH_KEYS
from segserve.serving.limits import CLASSICAL

SERVER_KEYS = ("max_exact_buckets",)
_SESSION_ENTRIES = ("session.",)


def unread_parameters(config: ModelConfig, filename: str) -> Mapping[str, str]:
    """Name the parameters that have no effect.

    Parameters
    ----------
    config : ModelConfig
        Completed from the model.
    filename : str
        The model file's name.

    Returns
    -------
    Mapping of str to str
        By path, such as ``parameters[shape_polcy]``: a hint, such as ``: did you mean
        'shape_policy'?``, or nothing where no key comes near.
    """
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
    if config.backend == CLASSICAL:  # its options are inputs too
        return tuple(spec.name for spec in config.input_specs())
    is_torch = is_torchscript(config.backend, config.platform, filename)
    return TORCH_KEYS if is_torch else ONNX_KEYS
