"""Files that came in a load request, laid out like a model's folder in a private place."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.repository.names import is_unfinished, version_number

MAX_STAGED_BYTES = 2**31 - 1
MAX_STAGED_FILES = 1_000
_PREFIX = "file:"


class StagedFiles:
    """Keeps the last staged folder of each model until it is replaced or all is closed.

    Parameters
    ----------
    max_bytes : int
        Largest sum of the files of all models.
    """

    def __init__(self, max_bytes: int = MAX_STAGED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._folders: dict[str, tuple[Path, int]] = {}
        self._root: Path | None = None

    def stage(self, model: str, files: Mapping[str, bytes]) -> Path:
        """Write the files of one model.

        Parameters
        ----------
        model : str
        files : Mapping of str to bytes
            By path, such as ``1/model.onnx``, with or without ``file:`` in front.

        Returns
        -------
        Path
            The model's folder, and the root that nothing may leave.

        Raises
        ------
        InvalidInput
            When a path leaves the folder or names no version.
        LoadFailed
            When the files are too many or large.
        """
        paths = {_checked_path(model, name): data for name, data in files.items()}
        size_bytes = sum(len(data) for data in paths.values())
        others = sum(size for name, (_, size) in self._folders.items() if name != model)
        if size_bytes + others > self._max_bytes or len(paths) > MAX_STAGED_FILES:
            raise LoadFailed(
                f"failed to load '{model}': got {len(paths)} files of {size_bytes} bytes in the "
                f"request, expected up to {MAX_STAGED_FILES} files and, over all models, "
                f"{self._max_bytes} bytes: put the model into the repository"
            )
        folder = Path(tempfile.mkdtemp(dir=self._staging_root()))
        self._write(model, folder, paths)
        self.drop(model)
        self._folders[model] = (folder, size_bytes)
        return folder

    def _write(self, model: str, folder: Path, paths: Mapping[PurePosixPath, bytes]) -> None:
        try:
            for path, data in paths.items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            reason = error.strerror or type(error).__name__
            raise LoadFailed(
                f"failed to load '{model}': cannot stage its files: {reason}"
            ) from None

    def _staging_root(self) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="segserve-"))
            weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        return self._root

    def drop(self, model: str) -> None:
        """Remove a model's staged files, if it has any."""
        folder, _ = self._folders.pop(model, (None, 0))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        for model in list(self._folders):
            self.drop(model)


def _checked_path(model: str, name: str) -> PurePosixPath:
    """Give the relative path; its first part is a version, and it stays below."""
    path = PurePosixPath(name.removeprefix(_PREFIX))
    parts = path.parts
    plain = not path.is_absolute() and "\\" not in name and "\0" not in name
    if not plain or len(parts) < 2 or any(is_unfinished(part) for part in parts):  # noqa: PLR2004  folder and file
        raise InvalidInput(
            f"failed to load '{model}': got file {name[:200]!r} in the request, expected a path "
            f"in a version's folder, such as 'file:1/model.onnx'"
        )
    try:
        version = version_number(parts[0])
    except LoadFailed as error:
        raise InvalidInput(f"failed to load '{model}': {error.message}") from error
    if version is None:
        raise InvalidInput(
            f"failed to load '{model}': got file {name[:200]!r} in the request, expected it in a "
            f"version's folder, such as 'file:1/{parts[-1]}'"
        )
    return path
