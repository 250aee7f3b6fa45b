"""Every path that is opened resolves inside the repository."""

from __future__ import annotations

from pathlib import Path

from segserve.core.errors import LoadFailed


def resolve_inside(path: Path, root: Path) -> Path:
    """Follow all links, and give the real path when it is inside `root`.

    Parameters
    ----------
    path : Path
        Must exist.
    root : Path
        The repository; links in the path to the root itself are fine.

    Raises
    ------
    LoadFailed
        When the path does not exist, loops, leads outside, or is neither a file nor a folder:
        whoever opens a FIFO or a device may wait for ever.
    """
    try:
        real = path.resolve(strict=True)
        real_root = root.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "a loop of links or a bad name"
        raise LoadFailed(f"{path}: cannot be opened: {reason}") from None
    if not real.is_relative_to(real_root):
        raise LoadFailed(
            f"{path}: leads to {real}, outside the model repository {real_root}: copy the file "
            f"into the repository"
        )
    if not (real.is_file() or real.is_dir()):
        raise LoadFailed(f"{path}: is neither a file nor a folder: remove it from the repository")
    return real


def inside_folder(folder: Path, name: str, *, root: Path, field: str) -> Path:
    """Give the real path of a file that a config or a model names relative to a folder.

    Parameters
    ----------
    folder : Path
    name : str
        A relative path as written.
    root : Path
        The repository.
    field : str
        Where the name was written, for messages.

    Raises
    ------
    LoadFailed
        When the name is absolute, or its file is not there or outside the repository.
    """
    if not name or name.startswith("/") or "\\" in name or "\0" in name:
        raise LoadFailed(f"{field}: got {name!r}, expected a path relative to {folder}")
    try:
        return resolve_inside(folder / name, root)
    except LoadFailed as error:
        raise LoadFailed(f"{field}: {error.message}") from None
