"""Gives memory that the C library keeps for later back to the system."""

from __future__ import annotations

import ctypes


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
