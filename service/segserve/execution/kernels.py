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
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from segserve.core.errors import ShuttingDown
from segserve.execution.cores import available_cores
from segserve.execution.heap import release_code
from segserve.ops.image import open_codecs
from segserve.ops.kernel_cache import CacheKind, kernel_cache, use_folder
from segserve.ops.warm import (
    NEEDS,
    KernelGroup,
    WarmedKernels,
    missing_groups,
    stale_groups,
    warm_kernels,
    with_needs,
)

log = logging.getLogger(__name__)
_NUMBA = threading.Lock()
"""Held by whoever loads kernels or asks for cached ones: numba's registries fail two threads."""
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
        self._compilers = Compilers(cores)
        self._ready: set[KernelGroup] = set()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End what compiles; whoever waits for it, or asks later, is refused."""
        self._compilers.stop()

    def ready(self, groups: Iterable[KernelGroup]) -> WarmedKernels | None:
        """Compile or load what is not ready yet, and open what reads pictures.

        Blocking: up to a minute with an empty cache, about two seconds with a filled one.

        Returns
        -------
        warmed : WarmedKernels or None
            None when all of it was ready.

        Raises
        ------
        ShuttingDown
            After `stop`.
        """
        open_codecs()
        start_s = time.perf_counter()
        wanted = self._unready(groups)
        with _NUMBA:
            _leave_blas()
            stale = bool(stale_groups(wanted))
        compiled = self._compilers.compile(wanted)
        with self._lock, _NUMBA:
            if self._compilers.are_stopped():
                raise ShuttingDown("the server is stopping: its kernels were not compiled")
            wanted = self._unready(wanted)
            if not wanted:
                return None
            warmed = warm_kernels(wanted)
            self._ready.update(wanted)
            release_code(_COMPILER)
        seconds = time.perf_counter() - start_s
        return WarmedKernels(seconds, compiled + warmed.compiled, warmed.cache, stale)

    def _unready(self, groups: Iterable[KernelGroup]) -> tuple[KernelGroup, ...]:
        return tuple(group for group in with_needs(groups) if group not in self._ready)


def _leave_blas() -> None:
    """Keep numba from opening SciPy's BLAS: 0.2 s and 15 MB for products that no kernel takes."""
    from numba.np import linalg  # noqa: PLC0415  heavy: opens late

    def no_blas() -> None:
        raise ImportError("this process's kernels call no BLAS")

    linalg.ensure_blas = no_blas  # asked when numba.np.arraymath is imported, with the first kernel


class Compilers:
    """Child processes that compile one group after another, and end when there is none left.

    A group is compiled once, however many threads ask for it, and after those that it needs. A
    child that fails is logged: whoever needs its kernels next compiles them itself.

    Parameters
    ----------
    cores : int
        Child processes at a time.
    """

    def __init__(self, cores: int) -> None:
        self._threads = ThreadPoolExecutor(cores, "kernels")
        self._lock = threading.Lock()
        self._asked: dict[KernelGroup, Future[int]] = {}
        self._unfinished = 0
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._stopped = threading.Event()

    def are_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the children; what is asked later is left uncompiled."""
        with self._lock:
            self._stopped.set()
            for child in self._children:
                child.kill()
        self._threads.shutdown(wait=False)

    def compile(self, groups: Iterable[KernelGroup]) -> int:
        """Compile those of some groups that the cache lacks; blocks until they are there.

        Returns
        -------
        compiled : int
            Kernels; those that another thread had asked for are its own.
        """
        wanted = tuple(groups)
        with self._lock:
            new = self._submit(tuple(group for group in wanted if group not in self._asked))
            asked = [self._asked[group] for group in wanted if group in self._asked]
        wait(asked)
        return sum(future.result() for future in new)

    def _submit(self, groups: tuple[KernelGroup, ...]) -> list[Future[int]]:
        if not groups or self._stopped.is_set() or kernel_cache().kind is CacheKind.NONE:
            return []
        with _NUMBA:
            missing = missing_groups(groups)
        self._unfinished += len(missing)
        for group in missing:
            first = [self._asked[need] for need in NEEDS.get(group, ()) if need in self._asked]
            self._asked[group] = self._threads.submit(self._compile, group, first)
        return [self._asked[group] for group in missing]

    def _compile(self, group: KernelGroup, first: list[Future[int]]) -> int:
        try:
            wait(first)
            child = self._take()
            return 0 if child is None else self._ask(child, group)
        finally:
            for child in self._done():
                child.end()

    def _done(self) -> list[_Child]:
        """Count a group as done; gives the children that are needed no more."""
        with self._lock:
            self._unfinished -= 1
            if self._unfinished:
                return []
            ended, self._idle = self._idle, []
            self._children.difference_update(ended)
            return ended

    def _take(self) -> _Child | None:
        """Give a child that has nothing to do; None after `stop`."""
        with self._lock:
            if self._stopped.is_set():
                return None
            if not self._idle:
                self._idle.append(_Child())
                self._children.add(self._idle[-1])
            return self._idle.pop()

    def _ask(self, child: _Child, group: KernelGroup) -> int:
        compiled = child.compile(group)
        with self._lock:
            if compiled is not None:
                self._idle.append(child)
                return compiled
            self._children.remove(child)
        why = f"the compiling process ended with {child.end()}"
        if not self._stopped.is_set():
            log.warning("kernels_not_compiled_beside", extra={"group": group, "error": why})
        return 0


class _Child:
    """One compiling process."""

    def __init__(self) -> None:
        cache = kernel_cache()
        folder = "" if cache.kind is CacheKind.PACKAGE else str(cache.folder)
        command = [sys.executable, "-m", "segserve.execution.kernels", folder]
        self._process = subprocess.Popen(  # noqa: S603  our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def compile(self, group: KernelGroup) -> int | None:
        """Give the number of kernels compiled; None when the process ended instead."""
        given, told = self._process.stdin, self._process.stdout
        if given is None or told is None:
            return None
        try:
            given.write(f"{group}\n")
            given.flush()
            answer = told.readline().strip()
        except BrokenPipeError:
            return None
        return int(answer) if answer.isdigit() else None

    def kill(self) -> None:
        """End it in the middle of its work."""
        self._process.kill()

    def end(self) -> int:
        """Let it end, and give its exit code."""
        self._process.communicate()
        return self._process.returncode


def compile_missing(groups: Iterable[KernelGroup], cores: int) -> int:
    """Let child processes compile what the cache lacks of some groups; gives how many kernels."""
    compilers = Compilers(cores)
    try:
        return compilers.compile(with_needs(groups))
    finally:
        compilers.stop()


def main(arguments: Sequence[str]) -> int:
    """Compile into a folder the groups that standard input names, or all (no FOLDER)."""
    if not arguments:
        start_s = time.perf_counter()
        compiled = compile_missing(KernelGroup, available_cores())
        print(f"kernels compiled: {compiled} in {time.perf_counter() - start_s:.0f} s")  # noqa: T201  a program's answer
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it is over
    (folder,) = arguments
    if folder:
        use_folder(folder)
    for group in sys.stdin:
        print(warm_kernels((KernelGroup(group.strip()),)).compiled, flush=True)  # noqa: T201  read by the parent
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
