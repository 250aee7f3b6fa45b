"""Where compiled kernels are kept between starts, and the decorator that every kernel has.

The first of these that can be written is taken: the folder that ``NUMBA_CACHE_DIR`` names, the
package's own, this user's folder under the temporary one. The last begins with the kernels that
lie in one of the first two, so that a prebuilt cache on a read-only disk counts.
Where none can be written the kernels are compiled at every start, in memory; numba itself refuses
to define a kernel then (``no locator available``).
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
_SOURCES = "*_kernel.py"
_SUFFIXES = (".nbi", ".nbc")  # numba's index of a kernel, and its code


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
    """

    kind: CacheKind
    folder: Path | None


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
    if configured is not None and _writable(_places_in(configured, package)):
        return KernelCache(CacheKind.CONFIGURED, configured)
    if _writable(_places_beside(package)):
        return KernelCache(CacheKind.PACKAGE, package)
    try:
        folder = temporary_folder(lambda new: _seed(new, configured, package))
    except OSError:
        return KernelCache(CacheKind.NONE, None)
    if _writable(_places_in(folder, package)):
        return KernelCache(CacheKind.TEMPORARY, folder)
    return KernelCache(CacheKind.NONE, None)


def temporary_folder(fill: Callable[[Path], None], package: Path = _PACKAGE) -> Path:
    """Give this user's folder for these sources, which is there for the next start too.

    numba unpickles what it finds there, so a folder that others could have written is not taken:
    then it is a new one, of this process alone. Nobody sees it half filled.

    Raises
    ------
    OSError
        When there is no temporary folder, or none can be made in it.
    """
    name = f"segserve-kernels-{os.geteuid()}-{_stamp(package)}"
    kept = Path(tempfile.gettempdir()) / name
    if _ours(kept):
        return kept
    new = Path(tempfile.mkdtemp(prefix="segserve-kernels-"))
    fill(new)
    try:
        return new.rename(kept)
    except OSError:  # another process of ours was first, or it is another's
        if _ours(kept):
            shutil.rmtree(new, ignore_errors=True)
            return kept
        atexit.register(shutil.rmtree, new, ignore_errors=True)
        return new


def _stamp(package: Path) -> str:
    """Tell these sources from others: kernels are kept by their sources' time and size."""
    digest = hashlib.blake2b(str(package).encode(), digest_size=8)
    for source in sorted(package.rglob(_SOURCES)):
        status = source.stat()
        digest.update(f"{source} {status.st_mtime_ns} {status.st_size}".encode())
    return digest.hexdigest()


def _ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not others_write


def _sources(package: Path) -> list[Path]:
    """Give the folders that kernels' sources lie in."""
    return sorted({package, *(source.parent for source in package.rglob(_SOURCES))})


def _places_beside(package: Path) -> list[Path]:
    """Give where numba keeps kernels beside their sources."""
    return [folder / "__pycache__" for folder in _sources(package)]


def _places_in(folder: Path, package: Path) -> list[Path]:
    """Give where numba keeps kernels in a folder of their own."""
    from numba.core.caching import UserProvidedCacheLocator  # noqa: PLC0415  heavy: opens late

    locate: Callable[[str], str] = UserProvidedCacheLocator.get_suitable_cache_subpath
    return [folder / locate(str(source / "x.py")) for source in _sources(package)]


def _seed(folder: Path, configured: Path | None, package: Path) -> None:
    """Copy the prebuilt kernels that can be read into a new folder; the others are compiled."""
    places = _places_in(folder, package)
    prebuilt = [_places_beside(package)]
    if configured is not None:
        prebuilt.append(_places_in(configured, package))  # its kernels go before the package's
    for kept in prebuilt:
        for source, target in zip(kept, places, strict=True):
            target.mkdir(exist_ok=True)
            for path in _kernels_in(source):
                with contextlib.suppress(OSError):
                    shutil.copyfile(path, target / path.name)


def _kernels_in(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.suffix in _SUFFIXES]
    except OSError:
        return []


def _writable(folders: Iterable[Path]) -> bool:
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
    except OSError:
        return False
    return True


def compiled_now() -> int:
    """Count the kernels that had to be compiled because `kernel_cache` did not have them."""
    from numba.core.dispatcher import Dispatcher  # noqa: PLC0415  heavy: opens late

    prefix = __name__.rpartition(".")[0] + "."
    # Copies, made in one step: other threads import (a model's torch, another model's kernels).
    modules = [m for name, m in sys.modules.copy().items() if name.startswith(prefix)]
    found = [k for m in modules for k in vars(m).copy().values() if isinstance(k, Dispatcher)]
    kernels = {id(k): k for k in found}
    return sum(sum(k.stats.cache_misses.values()) for k in kernels.values())
