"""What to run before a model is ready: the config's own samples, and every shape it will batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segserve.core.errors import LoadFailed
from segserve.execution.backend import Backend
from segserve.execution.warmup import WarmSample, WarmTensor, run_samples
from segserve.families.family import Family
from segserve.repository.model_config import ModelConfig, ModelWarmup, WarmupInput


def warm(
    config: ModelConfig, family: Family | None, backends: Sequence[Backend], folder: Path
) -> None:
    """Run ``model_warmup`` and one image of every warm shape of the family.

    Parameters
    ----------
    folder : Path
        The model's folder; ``input_data_file`` is looked for in its ``warmup/``.

    Raises
    ------
    LoadFailed
        Naming the sample that the model failed on.
    """
    samples = [_configured(config, sample, folder) for sample in config.model_warmup]
    if family is not None:
        samples += [_bucket(config, height, width) for height, width in family.warm_shapes]
    run_samples(backends, samples)


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


def _configured(config: ModelConfig, sample: ModelWarmup, folder: Path) -> WarmSample:
    rows = (max(1, sample.batch_size),) if config.max_batch_size else ()
    inputs = {
        name: _tensor(config, sample, given, rows, folder) for name, given in sample.inputs.items()
    }
    return WarmSample(sample.name, inputs, max(1, sample.count))


def _tensor(
    config: ModelConfig,
    sample: ModelWarmup,
    given: WarmupInput,
    rows: tuple[int, ...],
    folder: Path,
) -> WarmTensor:
    if given.data_type is None or any(d < 0 for d in given.dims):
        raise LoadFailed(
            f"model '{config.name}': model_warmup '{sample.name}' needs a data_type and dims "
            f"without -1, got {given.data_type} {list(given.dims)}"
        )
    content: bytes | str = "random" if given.random_data else "zero"
    if given.input_data_file:
        content = _read(config, sample, folder / "warmup" / given.input_data_file, folder)
    return WarmTensor(given.data_type, (*rows, *given.dims), content)


def _read(config: ModelConfig, sample: ModelWarmup, path: Path, folder: Path) -> bytes:
    where = f"model '{config.name}': model_warmup '{sample.name}'"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise LoadFailed(f"{where}: input_data_file leads out of the model's folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadFailed(f"{where}: {path} cannot be read: {error.strerror}") from error
