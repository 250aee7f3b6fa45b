"""Holds numpy's linear algebra to the threads that the core budget knows of.

OpenBLAS has a pool of its own, with a thread for every core of the machine, whatever the cgroup's
quota is. On a busy machine its threads wait for one another: the cuts of a graph of 300 nodes took
20 times as long with two as with one.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

_MAPS = Path("/proc/self/maps")
_SETTERS = tuple(
    f"{prefix}openblas_set_num_threads{suffix}"
    for prefix in ("scipy_", "")  # numpy's wheels put their name before all symbols
    for suffix in ("64_", "")
)


def hold_blas_to(threads: int) -> int:
    """Tell every OpenBLAS of this process how many threads a call may use.

    Returns
    -------
    told : int
        Libraries that took it; 0 where numpy came with another library, or the system does not
        list what is loaded, as but for Linux none does.
    """
    np.linalg.det(np.eye(2))  # so that it is loaded
    if not _MAPS.exists():
        return 0
    lines = _MAPS.read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if "openblas" in line}
    return sum(_told(ctypes.CDLL(path), threads) for path in sorted(paths))


def _told(library: ctypes.CDLL, threads: int) -> bool:
    for name in _SETTERS:
        setter = getattr(library, name, None)
        if setter is not None:
            setter(ctypes.c_int(threads))
            return True
    return False
