"""What the operating system is told of a thread: its name, and how much it gives way to others.

Both are Linux's alone: elsewhere a thread has no priority of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

_NICEST = 19  # Linux knows nothing beyond
_COMM_CHARS = 15


def name_thread(name: str) -> None:
    """Name this thread, so that ``top -H`` and ``/proc`` show it; the first 15 characters count."""
    if sys.platform == "linux":
        comm = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        with suppress(OSError):  # a sandbox may have no such file: the thread works without
            comm.write_text(name[:_COMM_CHARS])


def give_way(nice: int) -> None:
    """Let this thread give way to others of the process where cores are short.

    Parameters
    ----------
    nice : int
        Added to the process's own; 0 changes nothing.
    """
    if nice and sys.platform == "linux":
        thread = threading.get_native_id()
        usual = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(usual + nice, _NICEST))
