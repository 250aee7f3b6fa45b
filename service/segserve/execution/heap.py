"""Gives memory back to the system: what the C library keeps for later, and code that is not run."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def trim_heap() -> bool:
    """Ask the C library to return what it holds unused; whether there was a way to ask.

    Opening a model leaves as much behind as its file is large: glibc keeps the parsed file's
    memory. Only glibc has ``malloc_trim`` (malloc_trim(3)); elsewhere nothing happens. Takes tens
    of milliseconds, without the GIL.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


def release_code(library: str) -> int:
    """Let go of a shared library's machine code until it is run again; gives the bytes it spans.

    The pages are those of the file, unchanged, and come back from it (in practice from the page
    cache) one by one; until then they count for nobody (madvise(2), ``MADV_DONTNEED`` on a private
    file mapping). 0 where the system does not list its mappings, as but for Linux none does.

    Parameters
    ----------
    library : str
        File name, e.g. ``libllvmlite.so``.
    """
    if not _MAPS.exists():
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    released = 0
    for line in _MAPS.read_text().splitlines():
        span, permissions, *_, path = line.split(maxsplit=5)
        if permissions == "r-xp" and Path(path).name == library:
            start, end = (int(side, 16) for side in span.split("-"))
            if madvise(start, end - start, mmap.MADV_DONTNEED) == 0:
                released += end - start
    return released
