"""A golden's deterministic weights as a checkpoint.

``python -m loadtests.golden_weights GOLDENS NAME FILE``
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch


def write_checkpoint(golden: Path, path: Path) -> None:
    """Fill the weights that `golden`'s manifest names and write them to `path`.

    Parameters
    ----------
    golden : Path
        Folder with ``manifest.json``; ``fill.py`` lies beside it.
    path : Path
        Written last, under its own name only when complete.
    """
    spec = importlib.util.spec_from_file_location("fill", golden.parent / "fill.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{golden.parent} has no fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    state = fill.build(json.loads((golden / "manifest.json").read_text()))
    tensors = {k: torch.from_numpy(np.array(value, order="C")) for k, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    torch.save({"state_dict": tensors}, unfinished)
    unfinished.rename(path)


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]) / sys.argv[2], Path(sys.argv[3]))
