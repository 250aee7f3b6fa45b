"""Where compiled kernels are kept between starts, and the decorator that every kernel has.

The first of these that can be written is taken: the folder that ``NUMBA_CACHE_DIR`` names, the
package's own, this user's folder under the temporary one. The last begins with the kernels that
lie in the first two, so that a prebuilt cache on a read-only disk counts; where
``NUMBA_CACHE_DIR`` names such a one, the package's own folder is passed over.
Where none can be written the kernels are compiled at every start, in memory; numba itself refuses
to define a kernel then (``no locator available``).
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
_INDEX = "*.nbi"
_TEMPORARY = "segserve-kernels"


class CacheKind(Enum):
    """Which folder it is."""

    CONFIGURED = "NUMBA_CACHE_DIR"
    PACKAGE = "package"
    TEMPORARY = "temporary"
    NONE = "none"


@dataclass(frozen=True)
class KernelCache:
    """The folder of compiled kernels.

    Parameters
    ----------
    kind : CacheKind
    folder : Path or None
        None: nothing is kept.
    was_filled : bool
        There were kernels in it, or it was filled with those of another folder, at the start.
    """

    kind: CacheKind
    folder: Path | None
    was_filled: bool


def njit(*signature: Any, **options: Any) -> Callable[[Any], Any]:
    """Compile as ``numba.njit`` does, without the GIL, kept in `kernel_cache` where there is one.

    Parameters
    ----------
    signature
        As numba takes it: fixed signatures are compiled (or loaded) at import.
    options
        Of ``numba.njit``; ``cache`` and ``nogil`` are decided here.
    """
    import numba  # noqa: PLC0415  heavy: opens late

    options |= {"cache": kernel_cache().kind is not CacheKind.NONE, "nogil": True}
    decorated: Callable[[Any], Any] = numba.njit(*signature, **options)
    return decorated


@cache
def kernel_cache() -> KernelCache:
    """Choose the folder, once in a process, before the first kernel is defined."""
    from numba import config  # noqa: PLC0415  heavy: opens late

    named: str = config.CACHE_DIR  # type: ignore[attr-defined]  # numba sets its settings at import
    configured = Path(named) if named else None
    chosen = choose(configured, _PACKAGE, temporary_folder)
    kept_beside = chosen.kind is CacheKind.PACKAGE
    if named or not kept_beside:
        config.CACHE_DIR = "" if kept_beside else str(chosen.folder or "")  # type: ignore[attr-defined]  # numba sets its settings at import
    return chosen


def use_folder(folder: str) -> None:
    """Keep kernels in a folder that another process has chosen; before the first is defined."""
    from numba import config  # noqa: PLC0415  heavy: opens late

    config.CACHE_DIR = folder  # type: ignore[attr-defined]  # numba sets its settings at import


def choose(
    configured: Path | None,
    package: Path,
    temporary_folder: Callable[[Callable[[Path], None]], Path],
) -> KernelCache:
    """Take the first folder that can be written.

    Parameters
    ----------
    configured : Path or None
        Of ``NUMBA_CACHE_DIR``; made if missing.
    package : Path
        Folder of the kernels' sources.
    temporary_folder : callable
        Gives a folder for kernels alone, or raises OSError where there is none. Is given what
        fills a new one with the kernels of the first two.
    """
    if configured is not None and _writable(configured):
        return KernelCache(CacheKind.CONFIGURED, configured, _filled(configured))
    prebuilt = configured is not None and _filled(configured)
    if not prebuilt and _writable(package / "__pycache__"):
        return KernelCache(CacheKind.PACKAGE, package, _filled(package))
    try:
        folder = temporary_folder(lambda new: _seed(new, configured, package))
    except OSError:
        return KernelCache(CacheKind.NONE, None, was_filled=False)
    return KernelCache(CacheKind.TEMPORARY, folder, _filled(folder))


def temporary_folder(fill: Callable[[Path], None]) -> Path:
    """Give this user's folder, which is there for the next start too; nobody sees it half filled.

    numba unpickles what it finds there, so a folder that others could have written is not taken:
    then it is a new one, of this process alone.

    Raises
    ------
    OSError
        When there is no temporary folder, or nothing can be written to it.
    """
    kept = Path(tempfile.gettempdir()) / f"{_TEMPORARY}-{os.geteuid()}"
    if _ours(kept) and _writable(kept):
        return kept
    new = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}-"))
    fill(new)
    try:
        return new.rename(kept)
    except OSError:  # it is another's, or another process of ours was first
        return new


def _ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not others_write


def _seed(folder: Path, configured: Path | None, package: Path) -> None:
    """Copy prebuilt kernels into a new folder."""
    if configured is not None and _filled(configured):
        shutil.copytree(configured, folder, dirs_exist_ok=True)
    elif _filled(package):
        _copy_from_package(package, folder)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _filled(folder: Path) -> bool:
    return next(folder.rglob(_INDEX), None) is not None


def _copy_from_package(package: Path, folder: Path) -> None:
    """Copy kernels that lie beside their sources to where numba looks for them in `folder`."""
    from numba.core.caching import UserProvidedCacheLocator  # noqa: PLC0415  heavy: opens late

    for beside in package.rglob("__pycache__"):
        source = str(beside.parent / "x.py")
        locate: Callable[[str], str] = UserProvidedCacheLocator.get_suitable_cache_subpath
        target = folder / locate(source)
        ours = (path for path in beside.iterdir() if path.suffix in (".nbi", ".nbc"))
        target.mkdir(exist_ok=True)
        for path in ours:
            shutil.copy2(path, target)


def compiled_now() -> int:
    """Count the kernels that had to be compiled because `kernel_cache` did not have them."""
    from numba.core.dispatcher import Dispatcher  # noqa: PLC0415  heavy: opens late

    prefix = __name__.rpartition(".")[0] + "."
    # Copies, made in one step: other threads import (a model's torch, another model's kernels).
    modules = [m for name, m in sys.modules.copy().items() if name.startswith(prefix)]
    found = [k for m in modules for k in vars(m).copy().values() if isinstance(k, Dispatcher)]
    kernels = {id(k): k for k in found}
    return sum(sum(k.stats.cache_misses.values()) for k in kernels.values())
