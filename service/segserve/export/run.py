"""A checkpoint through a recipe into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from segserve.core.errors import BackendFailed
from segserve.export.checkpoint import load_checkpoint, match_state_dict
from segserve.export.compare import Comparison, compare, noise_like
from segserve.export.config_text import ONNX, TORCHSCRIPT
from segserve.export.recipe import ExportConfig, Recipe
from segserve.export.to_onnx import to_onnx
from segserve.export.to_torchscript import compare_torchscript, to_torchscript
from segserve.export.write import check_free, check_name, write_model


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
        Directory of the model.
    graph_bytes : int
        Size of ``model.onnx`` or ``model.pt``.
    comparison : Comparison
        The graph against the eager network, on noise.
    """

    path: Path
    graph_bytes: int
    comparison: Comparison


@dataclass(frozen=True)
class Destination:
    """Where to write.

    Parameters
    ----------
    repository : Path
        Made if missing.
    name : str
        Of the model.
    overwrite : bool
        Replace an existing version 1.
    backend : str
        Which runs it, and so the format: `ONNX` or `TORCHSCRIPT` of `segserve.export.config_text`.
    """

    repository: Path
    name: str
    overwrite: bool = False
    backend: str = ONNX


def export_checkpoint(
    recipe: Recipe,
    checkpoint: Path,
    destination: Destination,
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Read, fill, export, compare, write; nothing is written unless all of it works.

    Parameters
    ----------
    recipe : Recipe
        Which network and configuration.
    checkpoint : Path
        See `load_checkpoint`.
    destination : Destination
        Where to.
    progress : callable
        Told the name of every step as it begins.

    Raises
    ------
    ServiceError
        Any of the steps' errors; `BackendFailed` when the graph does not compute what the eager
        network does.
    """
    check_name(destination.name)
    check_free(destination.repository, destination.name, overwrite=destination.overwrite)
    progress(f"reading {checkpoint}")
    state = load_checkpoint(checkpoint)
    model = recipe.build()
    match_state_dict(model, state)
    graph, comparison = _exported(model, recipe, destination.backend, progress)
    if not is_accepted(comparison, recipe.config()):
        raise BackendFailed(f"the graph does not compute what the network does: {comparison}")
    path = write_model(
        destination.repository,
        destination.name,
        graph,
        recipe.config(),
        overwrite=destination.overwrite,
        backend=destination.backend,
    )
    return Exported(path, len(graph), comparison)


def is_accepted(comparison: Comparison, config: ExportConfig) -> bool:
    """Whether a graph so far from its network may be written."""
    if comparison.is_close:
        return True
    least = config.min_label_agreement
    return least is not None and comparison.label_agreement >= least


def _exported(
    model: nn.Module, recipe: Recipe, backend: str, progress: Callable[[str], None]
) -> tuple[bytes, Comparison]:
    """Give the graph and how far its answers on noise are from the network's."""
    noise = noise_like(recipe.sample_inputs())
    if backend == TORCHSCRIPT:
        progress("compiling as TorchScript")
        graph = to_torchscript(model, recipe)
        progress("comparing with the eager network")
        return graph, compare_torchscript(model, graph, recipe, noise)
    progress("exporting to ONNX (may take a minute)")
    graph = to_onnx(model, recipe)
    progress("comparing with the eager network")
    return graph, compare(model, graph, noise)
