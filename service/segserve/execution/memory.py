"""Giving memory back to the system after the large, short-lived work of loading and unloading."""

from __future__ import annotations

import ctypes
import gc


def trim_memory() -> None:
    """Collect garbage, leave what survived out of later collections, and return free pages.

    Loading leaves much behind that will never be used again: graphs before optimisation, compiled
    kernels' intermediate code. glibc keeps such pages unless it is asked (``malloc_trim(3)``);
    another C library is left alone.
    """
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
