"""Has a model's folder changed (`fingerprint`), and what exactly is served (`digest`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.repository.layout import CONFIG_NAME, ModelDirectory
from segserve.repository.names import is_unfinished
from segserve.repository.paths import resolve_inside

MAX_FILES = 10_000
MAX_DEPTH = 16
_CHUNK_BYTES = 1 << 20


def files_below(folder: Path, root: Path) -> Mapping[str, Path]:
    """List the files in a folder and its folders, links followed, unfinished names left out.

    Returns
    -------
    Mapping of str to Path
        Real paths by path relative to `folder`, sorted.

    Raises
    ------
    LoadFailed
        When a link leads outside `root`, there are too many files or levels, or one is no file.
    """
    found = {}
    for name, path in _walk(folder, root, "", 0):
        found[name] = path
        if len(found) > MAX_FILES:
            raise LoadFailed(f"{folder}: more than {MAX_FILES} files: is this a model?")
    return dict(sorted(found.items()))


def _walk(folder: Path, root: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    if depth > MAX_DEPTH:
        raise LoadFailed(f"{folder}: folders nested deeper than {MAX_DEPTH}: a loop of links?")
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise LoadFailed(f"{folder}: cannot be read: {error.strerror}") from None
    for path in inside:
        if is_unfinished(path.name):
            continue
        real = resolve_inside(path, root)
        if real.is_dir():
            yield from _walk(path, root, f"{prefix}{path.name}/", depth + 1)
        else:
            yield f"{prefix}{path.name}", real


def fingerprint(directory: ModelDirectory) -> str:
    """Sum up names, sizes, times of change, inodes and who may read them of all files of a model.

    Cheap: no file is opened. Two equal fingerprints, some time apart, mean that nobody is writing.

    Raises
    ------
    LoadFailed
        When the folder cannot be listed or leads outside the repository.
    """
    total = hashlib.sha256()
    for name, path in _watched(directory).items():
        try:
            stat = path.stat()
        except OSError as error:
            raise LoadFailed(f"{path}: cannot be read: {error.strerror}") from None
        rights = (stat.st_mode, stat.st_uid, stat.st_gid)
        state = (name, stat.st_size, stat.st_mtime_ns, stat.st_ino, *rights)
        total.update(repr(state).encode())
    return total.hexdigest()


def _watched(directory: ModelDirectory) -> Mapping[str, Path]:
    return files_below(directory.path, directory.root)


def digest(config: bytes, labels: bytes, files: Mapping[str, Path]) -> str:
    """Identify one version by content.

    sha256 over, for the config, the labels and then each file in the order of its name: the
    name in UTF-8, a zero byte, the number of bytes in decimal, a zero byte, and the bytes.

    Parameters
    ----------
    config : bytes
        ``config.pbtxt`` as it lies there, or the JSON of the load request; empty without one.
    labels : bytes
        The labels, one a line; empty without any.
    files : Mapping of str to Path
        The version's files by relative path.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Raises
    ------
    LoadFailed
        When a file cannot be read.
    """
    total = hashlib.sha256()
    for name, content in ((CONFIG_NAME, config), ("labels", labels)):
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    for name, path in sorted(files.items()):
        try:
            with path.open("rb") as file:
                total.update(f"{name}\0{path.stat().st_size}\0".encode())
                while chunk := file.read(_CHUNK_BYTES):
                    total.update(chunk)
        except OSError as error:
            raise LoadFailed(f"{path}: cannot be read: {error.strerror}") from None
    return f"sha256:{total.hexdigest()}"
