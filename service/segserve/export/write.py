"""One version of a model into a model repository, all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from segserve.core.errors import AlreadyExists, InvalidInput
from segserve.export.config_text import ONNX, TORCHSCRIPT, config_text, sidecar_text
from segserve.export.recipe import ExportConfig
from segserve.repository.names import is_model_name, is_unfinished

_VERSION = "1"
_FILENAMES = {ONNX: "model.onnx", TORCHSCRIPT: "model.pt"}


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless a server would look at a directory of that name."""
    if not is_model_name(name) or is_unfinished(name):
        raise InvalidInput(
            f"model name {name!r}: expected letters, digits, '.', '_' and '-', no '.' at the "
            "front, no .tmp or .partial at the end"
        )


def check_free(repository: Path, name: str, *, overwrite: bool) -> None:
    """Raise unless version 1 of `name` may be written.

    Raises
    ------
    AlreadyExists
        When it is there and `overwrite` is false.
    InvalidInput
        When a directory of that name holds something else, which is never replaced.
    """
    target = repository / name
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise AlreadyExists(f"{target} exists; give --overwrite to replace it, or another --name")
    if not target.is_dir():
        raise InvalidInput(f"{target} is not a directory; it is not replaced")
    ours = {"config.pbtxt", "labels.txt", _VERSION}
    others = sorted(p.name for p in target.iterdir() if p.name not in ours)
    if target.is_symlink() or others:
        raise InvalidInput(
            f"{target} holds more than version {_VERSION} ({', '.join(others) or 'a symlink'}); "
            "it is not replaced: choose another --name, or remove it first"
        )


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` at `target`; what was there goes to `old`, and comes back if that fails."""
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def write_model(
    repository: Path,
    name: str,
    graph: bytes,
    config: ExportConfig,
    *,
    overwrite: bool = False,
    backend: str = ONNX,
) -> Path:
    """Write ``repository/name/{config.pbtxt,labels.txt,1/model.onnx}``, or ``1/model.{pt,json}``.

    The files are written under a hidden name in `repository` and then renamed, so that a server
    that polls it never sees half a model. An old model is moved aside first and removed last.

    Parameters
    ----------
    repository : Path
        Made if missing.
    name : str
        Of the model.
    graph : bytes
        A serialised ONNX model, or a TorchScript program, weights inside.
    config : ExportConfig
        For ``config.pbtxt`` and ``labels.txt``.
    overwrite : bool
        Replace an existing version 1.
    backend : str
        Which of the two the graph is: `ONNX` or `TORCHSCRIPT` of `segserve.export.config_text`.

    Returns
    -------
    Path
        The model's directory.

    Raises
    ------
    AlreadyExists, InvalidInput
        See `check_free` and `check_name`.
    """
    check_name(name)
    repository.mkdir(parents=True, exist_ok=True)
    check_free(repository, name, overwrite=overwrite)
    target = repository / name
    staging = Path(tempfile.mkdtemp(prefix=".export-", dir=repository))
    try:
        model = staging / "new"
        (model / _VERSION).mkdir(parents=True)
        (model / "config.pbtxt").write_text(config_text(name, config, backend), encoding="utf-8")
        labels = "".join(f"{label}\n" for label in config.labels)
        (model / "labels.txt").write_text(labels, encoding="utf-8")
        (model / _VERSION / _FILENAMES[backend]).write_bytes(graph)
        if backend == TORCHSCRIPT:
            sidecar = model / _VERSION / "model.json"
            sidecar.write_text(sidecar_text(config), encoding="utf-8")
        _swap(model, target, staging / "old")
    finally:
        shutil.rmtree(staging)
    return target
