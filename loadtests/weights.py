"""Weights to measure a model with: a golden's deterministic ones, or fresh ones from a seed.

``python -m loadtests.weights RECIPE FILE [GOLDEN]``
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from segserve.core.errors import ServiceError
from segserve.export.catalogue import find_recipe

_SEED = 0


def golden_weights(golden: Path) -> dict[str, torch.Tensor]:
    """Give the weights that a golden's manifest names.

    Parameters
    ----------
    golden : Path
        Folder with ``manifest.json``; ``fill.py`` lies beside it.
    """
    spec = importlib.util.spec_from_file_location("fill", golden.parent / "fill.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{golden.parent} has no fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    state = fill.build(json.loads((golden / "manifest.json").read_text()))
    return {k: torch.from_numpy(np.array(value, order="C")) for k, value in state.items()}


def fresh_weights(recipe: str) -> dict[str, torch.Tensor]:
    """Give those that a recipe's network begins its training with, of a fixed seed.

    Raises
    ------
    NotFound
        When there is no such recipe.
    """
    found = find_recipe(recipe)
    torch.manual_seed(_SEED)
    return found.build().state_dict()


def write_checkpoint(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write `weights` to `path`, under its own name only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    torch.save({"state_dict": dict(weights)}, unfinished)
    unfinished.rename(path)


def main(recipe: str, path: str, golden: str = "") -> None:
    """Write a recipe's checkpoint."""
    try:
        weights = golden_weights(Path(golden)) if golden else fresh_weights(recipe)
    except ServiceError as error:
        sys.exit(error.message)
    write_checkpoint(weights, Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
