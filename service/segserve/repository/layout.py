"""Where models lie: Triton's tree ``<root>/<model>/<version>/model.onnx``, or one model by itself.

What is not finished is not seen: names that start with ``.`` or end in ``.tmp`` or ``.partial``,
model folders with a file ``.incomplete`` in them, and versions whose model file is not there yet.
So a model is published by renaming its folder, or by removing the marker last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.repository.names import (
    INCOMPLETE_MARKER,
    check_model_name,
    is_model_name,
    is_unfinished,
    version_number,
)
from segserve.repository.paths import resolve_inside

CONFIG_NAME = "config.pbtxt"
LABELS_NAME = "labels.txt"
DEFAULT_MODEL_FILENAME = "model.onnx"
TORCHSCRIPT_FILENAME = "model.pt"
TORCHSCRIPT_BACKEND = "pytorch"
CLASSICAL_BACKEND = "classical"
TORCHSCRIPT_PLATFORM = "pytorch_libtorch"


def is_torchscript(backend: str, platform: str, filename: str = "") -> bool:
    """Whether the config says TorchScript, or, where it says nothing, the model file's name."""
    if backend or platform:
        return backend == TORCHSCRIPT_BACKEND or platform == TORCHSCRIPT_PLATFORM
    return filename.endswith(".pt")


def default_filenames(backend: str, platform: str) -> tuple[str, ...]:
    """Give the names that a version's model file may have when the config gives none."""
    if not backend and not platform:
        return (DEFAULT_MODEL_FILENAME, TORCHSCRIPT_FILENAME)
    return (TORCHSCRIPT_FILENAME if is_torchscript(backend, platform) else DEFAULT_MODEL_FILENAME,)


@dataclass(frozen=True)
class ModelDirectory:
    """One model's folder.

    Parameters
    ----------
    name : str
    path : Path
        The folder; of a bare model file, the folder that it lies in.
    root : Path
        The repository: nothing outside it is opened.
    config_path : Path or None
        Its ``config.pbtxt``, if there is one.
    versions : tuple of int
        Rising; the version folders there are, with or without a model file in them.
    bare_file : Path or None
        The model file that is version 1 by itself, without a version folder.
    """

    name: str
    path: Path
    root: Path
    config_path: Path | None
    versions: tuple[int, ...]
    bare_file: Path | None = None

    def version_path(self, version: int) -> Path:
        """Give the folder of a version; for a bare model file its own folder."""
        return self.path if self.bare_file is not None else self.path / str(version)

    def model_path(self, version: int, filename: str) -> Path | None:
        """Give the file to open for a version, None when it is not there (yet).

        Parameters
        ----------
        version : int
        filename : str
            ``default_model_filename``; a folder of this name holds its model as ``model.onnx``.

        Raises
        ------
        LoadFailed
            When it is no file: a FIFO, a device or a socket.
        """
        path = self.bare_file or self.version_path(version) / (filename or DEFAULT_MODEL_FILENAME)
        if path.is_dir():
            path = path / DEFAULT_MODEL_FILENAME
        if not path.exists():
            return None
        if not path.is_file():
            raise LoadFailed(f"{path}: expected a model file, got what is no file")
        return path


@dataclass(frozen=True)
class Scan:
    """What one look at a repository found.

    Parameters
    ----------
    models : Mapping of str to ModelDirectory
    refused : Mapping of str to str
        Folders that look like models and cannot be served, with the reason.
    skipped : Mapping of str to str
        Folders that are not looked at, or hold no model, with the reason.
    """

    models: Mapping[str, ModelDirectory]
    refused: Mapping[str, str]
    skipped: Mapping[str, str]


def scan_repository(root: Path) -> Scan:
    """Look for models in the folders of a repository.

    Raises
    ------
    LoadFailed
        When the root is not a folder, or is itself one model.
    """
    _check_not_a_model(root)
    folders = _folders(root)
    models: dict[str, ModelDirectory] = {}
    refused: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for path in folders:
        try:
            reason = _why_skipped(path)
            if reason:
                skipped[path.name] = reason
            else:
                name = check_model_name(path.name)
                models[name] = open_directory(name, path, root)
        except LoadFailed as error:
            refused[path.name] = error.message
        except OSError as error:
            reason = f"{path}: cannot be read: {error.strerror}"
            (refused if is_model_name(path.name) else skipped)[path.name] = reason
    return Scan(models, refused, skipped)


def single_model(root: Path, name: str) -> ModelDirectory | None:
    """Take the root itself for one model.

    Parameters
    ----------
    root : Path
        A model file, a folder with one model file in it, or a model's folder.
    name : str
        The name to serve it by.

    Returns
    -------
    ModelDirectory or None
        None when the root is none of these: it is a repository then.

    Raises
    ------
    LoadFailed
        When the root does not exist, or the name is not allowed.
    """
    check_model_name(name)
    if root.is_file():
        return _bare(root, name)
    folders = _folders(root)
    config = _config_path(root)
    if any(version_number(path.name) for path in folders):
        return open_directory(name, root, root)
    files = sorted(path for path in root.glob("*.onnx") if not is_unfinished(path.name))
    named = [path for path in files if path.name == DEFAULT_MODEL_FILENAME] or files
    if len(named) == 1:
        return _bare(named[0], name)
    if config is not None or files:
        found = ", ".join(path.name for path in files) or "none"
        raise LoadFailed(
            f"{root}: expected one model file or version folders, got model files: {found}"
        )
    return None


def open_directory(name: str, path: Path, root: Path) -> ModelDirectory:
    """Describe a model's folder.

    Raises
    ------
    LoadFailed
        When it leads outside the root, or a version folder's name is wrong.
    """
    resolve_inside(path, root)
    numbers = {version_number(folder.name) for folder in _folders(path)}
    versions = tuple(sorted(number for number in numbers if number is not None))
    return ModelDirectory(name, path, root, _config_path(path), versions)


def _bare(file: Path, name: str) -> ModelDirectory:
    folder = file.parent
    return ModelDirectory(name, folder, folder, _config_path(folder), (1,), file)


def _config_path(folder: Path) -> Path | None:
    path = folder / CONFIG_NAME
    return path if path.exists() or path.is_symlink() else None


def _folders(path: Path) -> list[Path]:
    """List the visible folders in a folder, by name."""
    try:
        inside = [item for item in sorted(path.iterdir()) if item.is_dir()]
    except OSError as error:
        raise LoadFailed(f"model repository {path}: cannot be read: {error.strerror}") from None
    return [item for item in inside if not is_unfinished(item.name)]


def _why_skipped(path: Path) -> str:
    if (path / INCOMPLETE_MARKER).exists():
        return f"marked as being written: remove {INCOMPLETE_MARKER} when it is complete"
    if _config_path(path) is None and not any(item.name.isdigit() for item in path.iterdir()):
        return f"holds no model: neither {CONFIG_NAME} nor a version folder such as 1"
    return ""


def _check_not_a_model(root: Path) -> None:
    if root.is_file():
        raise LoadFailed(
            f"model repository {root} is a file, not a folder of models: "
            f"give --model-name to serve a model file by that name"
        )
    found = [n for n in (CONFIG_NAME, DEFAULT_MODEL_FILENAME) if (root / n).is_file()]
    if found:
        raise LoadFailed(
            f"model repository {root} holds a {found[0]}: it is one model, not a folder of models: "
            f"give --model-name to serve it by that name, or point one folder higher"
        )
