"""What to run before a model is ready: the config's own samples, and every shape it will batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segserve.core.errors import LoadFailed
from segserve.core.tensor import TensorSpec
from segserve.execution.backend import Backend
from segserve.execution.warmup import WarmSample, WarmTensor, run_samples
from segserve.families.family import Family
from segserve.repository.model_config import ModelConfig, ModelWarmup, WarmupInput
from segserve.repository.paths import inside_folder


def warm(
    config: ModelConfig, family: Family | None, backends: Sequence[Backend], folder: Path
) -> float:
    """Run ``model_warmup`` and one image of every warm shape of the family.

    Parameters
    ----------
    folder : Path
        The model's folder; ``input_data_file`` is looked for in its ``warmup/``.

    Returns
    -------
    float
        Seconds that one row runs on one core, about; 0 where nothing was run.

    Raises
    ------
    LoadFailed
        Naming the sample that the model failed on.
    """
    samples = configured_samples(config, folder)
    if family is not None:
        samples += [_bucket(config, height, width) for height, width in family.warm_shapes]
    took_s = run_samples(backends, samples)
    return took_s / _rows(samples[-1]) if config.max_batch_size and samples else took_s


def _rows(sample: WarmSample) -> int:
    return max(1, next(iter(sample.inputs.values())).shape[0])


def configured_samples(config: ModelConfig, folder: Path) -> list[WarmSample]:
    """Give what ``model_warmup`` asks for, its files read.

    Raises
    ------
    LoadFailed
        Naming field, got, expected and the fix.
    """
    return [
        _configured(config, index, sample, folder)
        for index, sample in enumerate(config.model_warmup)
    ]


def _bucket(config: ModelConfig, height_px: int, width_px: int) -> WarmSample:
    """One image's tensors of a network size: the free axes of 3-d inputs are height and width."""
    inputs = {}
    size_input = config.parameters.get("image_size_input", "").strip()
    for spec in config.input_specs():
        if spec.name == size_input:
            size = np.array([[height_px, width_px]], dtype=np.float32)
            inputs[spec.name] = WarmTensor(spec.dtype, size.shape, size.tobytes())
            continue
        free = iter((height_px, width_px))
        dims = tuple(next(free, 1) if d < 0 else d for d in spec.dims)
        inputs[spec.name] = WarmTensor(spec.dtype, (1, *dims))
    return WarmSample(f"bucket {height_px}x{width_px}", inputs)


def _configured(config: ModelConfig, index: int, sample: ModelWarmup, folder: Path) -> WarmSample:
    rows = (max(1, sample.batch_size),) if config.max_batch_size else ()
    known = {spec.name: spec for spec in config.input_specs()}
    inputs = {}
    for name, given in sample.inputs.items():
        where = config.origin.at(f"model_warmup[{index}].inputs[{name}]")
        if name not in known:
            raise LoadFailed(f"{where}: no input of the model: expected one of {list(known)}")
        inputs[name] = _tensor(where, given, rows, folder)
        _check_fits(where, given, known[name])
    missing = [n for n, spec in known.items() if n not in inputs and not spec.optional]
    if missing:
        where = config.origin.at(f"model_warmup[{index}].inputs")
        raise LoadFailed(f"{where}: got {list(inputs)}, expected {', '.join(missing)} too")
    return WarmSample(sample.name, inputs, max(1, sample.count))


def _check_fits(where: str, given: WarmupInput, spec: TensorSpec) -> None:
    if given.data_type is not spec.dtype or not spec.accepts(tuple(given.dims), batched=False):
        kind = given.data_type.value if given.data_type is not None else "none"
        raise LoadFailed(
            f"{where}: got {kind} {list(given.dims)}, expected {spec.dtype.value} "
            f"{list(spec.dims)}, as the model's input is, without the batch axis"
        )


def _tensor(where: str, given: WarmupInput, rows: tuple[int, ...], folder: Path) -> WarmTensor:
    if given.data_type is None or any(d < 0 for d in given.dims):
        kind = given.data_type.value if given.data_type is not None else "none"
        raise LoadFailed(
            f"{where}: expected a data_type and dims without -1, got {kind} {list(given.dims)}"
        )
    content: bytes | str = "random" if given.random_data else "zero"
    if given.input_data_file:
        content = _read(f"{where}.input_data_file", folder, given.input_data_file)
    tensor = WarmTensor(given.data_type, (*rows, *given.dims), content)
    if isinstance(content, bytes):
        _check_bytes(where, tensor)
    return tensor


def _read(where: str, folder: Path, name: str) -> bytes:
    path = inside_folder(folder / "warmup", name, root=folder, field=where)
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadFailed(f"{where}: {path} cannot be read: {error.strerror}") from error


def _check_bytes(where: str, tensor: WarmTensor) -> None:
    try:
        tensor.array()
    except LoadFailed as error:
        raise LoadFailed(f"{where}: {error.message}") from None
