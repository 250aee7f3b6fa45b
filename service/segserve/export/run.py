"""A checkpoint through a recipe into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segserve.core.errors import BackendFailed
from segserve.export.checkpoint import load_checkpoint, match_state_dict
from segserve.export.compare import Comparison, compare, noise_like
from segserve.export.recipe import Recipe
from segserve.export.to_onnx import to_onnx
from segserve.export.write import check_free, check_name, write_model


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
        Directory of the model.
    graph_bytes : int
        Size of ``model.onnx``.
    comparison : Comparison
        ONNX Runtime against the eager network, on noise.
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
    """

    repository: Path
    name: str
    overwrite: bool = False


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
    progress("exporting to ONNX (may take a minute)")
    graph = to_onnx(model, recipe)
    progress("comparing with the eager network")
    comparison = compare(model, graph, noise_like(recipe.sample_inputs()))
    if not comparison.is_close:
        raise BackendFailed(f"the graph does not compute what the network does: {comparison}")
    path = write_model(
        destination.repository,
        destination.name,
        graph,
        recipe.config(),
        overwrite=destination.overwrite,
    )
    return Exported(path, len(graph), comparison)
