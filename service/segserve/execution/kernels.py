"""Gets kernels ready: what the cache lacks is compiled by child processes, one on each core.

Compiling here would hold the GIL from the event loop for most of a minute, use one core, and leave
the compiler's memory in the process that serves. ``python -m segserve.execution.kernels`` compiles
whatever is missing, for instance before many processes start that need it.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from segserve.core.errors import ShuttingDown
from segserve.execution.cores import available_cores
from segserve.execution.heap import release_code
from segserve.ops.kernel_cache import CacheKind, kernel_cache, use_folder
from segserve.ops.warm import KernelGroup, WarmedKernels, missing_groups, warm_kernels

log = logging.getLogger(__name__)
_LOOK_S = 0.05
_COMPILER = "libllvmlite.so"
"""LLVM, as numba loads it: loading kernels runs through 50 MB of it, running them through none."""


class Kernels:
    """The kernels of this process; several threads may ask for some at a time.

    Parameters
    ----------
    cores : int
        Child processes that compile at a time.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._ready: set[KernelGroup] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End what compiles; whoever waits for it, or asks later, is refused."""
        self._stopping.set()

    def ready(self, groups: Iterable[KernelGroup]) -> WarmedKernels | None:
        """Compile or load what is not ready yet; None when all of it was.

        Blocking: up to a minute with an empty cache, about two seconds with a filled one.

        Raises
        ------
        ShuttingDown
            After `stop`.
        """
        with self._lock:
            wanted = tuple(group for group in KernelGroup if group in set(groups) - self._ready)
            if not wanted:
                return None
            start_s = time.perf_counter()
            compiled = compile_missing(wanted, self._cores, self._stopping.is_set)
            if self._stopping.is_set():
                raise ShuttingDown("the server is stopping: its kernels were not compiled")
            warmed = warm_kernels(wanted)
            self._ready.update(wanted)
            release_code(_COMPILER)
            seconds = time.perf_counter() - start_s
            return WarmedKernels(seconds, compiled + warmed.compiled, warmed.cache)


def compile_missing(
    groups: Iterable[KernelGroup], cores: int, stop: Callable[[], bool] = lambda: False
) -> int:
    """Let child processes compile the groups that the cache lacks; gives the kernels compiled.

    Once `stop` says so the children are ended and no more are started. A child that fails is
    logged: whoever needs its kernels next compiles them itself.
    """
    cache = kernel_cache()
    if cache.kind is CacheKind.NONE:
        return 0
    folder = "" if cache.kind is CacheKind.PACKAGE else str(cache.folder)
    waiting = list(missing_groups(groups))
    running: list[subprocess.Popen[str]] = []
    compiled = 0
    while (waiting or running) and not stop():
        while waiting and len(running) < cores:
            running.append(_start(waiting.pop(0), folder))
        ended = [child for child in running if child.poll() is not None]
        compiled += sum(map(_result, ended))
        running = [child for child in running if child not in ended]
        if not ended:
            time.sleep(_LOOK_S)
    for child in running:
        child.kill()
        child.communicate()
    return compiled


def _start(group: KernelGroup, folder: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segserve.execution.kernels", folder, group.value]
    return subprocess.Popen(  # noqa: S603  our own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )


def _result(child: subprocess.Popen[str]) -> int:
    """Give how many kernels an ended child has compiled."""
    told = child.communicate()[0].strip()
    if child.returncode != 0 or not told.isdigit():
        why = f"the compiling process ended with {child.returncode}"
        log.warning("kernels_not_compiled_beside", extra={"error": why})
        return 0
    return int(told)


def main(arguments: Sequence[str]) -> int:
    """Compile one group into a folder (``FOLDER GROUP``), or all that are missing (nothing)."""
    if not arguments:
        start_s = time.perf_counter()
        compiled = compile_missing(KernelGroup, available_cores())
        print(f"kernels compiled: {compiled} in {time.perf_counter() - start_s:.0f} s")  # noqa: T201  a program's answer
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it is over
    folder, group = arguments
    if folder:
        use_folder(folder)
    print(warm_kernels((KernelGroup(group),)).compiled)  # noqa: T201  read by the parent
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
