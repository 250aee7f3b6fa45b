"""A worker process: takes one piece of work at a time over a socket, and dies with its parent.

``python -m segserve.execution.worker_main FD MODULE:FUNCTION BYTES``. Started by `worker_process`;
the function takes a `Frame` and gives one, and the process gets no more than so many bytes of
address space (0: as many as it likes).
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from segserve.core.errors import ServiceError
from segserve.execution.worker_frames import Frame, receive, send

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
BUDGET = "budget_s"
_GRACE_S = 2.0


def main(arguments: list[str]) -> int:
    """Serve until the other end of the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when it is over
    for name in _ONE_THREAD:
        os.putenv(name, "1")  # read by the libraries when they are loaded
    max_bytes = int(arguments[2])
    if max_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    connection: Connection[Any, Any] = Connection(int(arguments[0]))
    try:
        work = _function(arguments[1])
    except Exception as error:  # noqa: BLE001  whatever a library raises when it is imported
        send(connection, Frame({"failed": f"{type(error).__name__}: {error}"}))
        return 1
    try:
        send(connection, Frame({"ready": True}))
        while True:
            asked = receive(connection)
            send(connection, _answer(work, asked))
    except (EOFError, OSError):
        return 0  # the server has gone


def _function(path: str) -> Callable[[Frame], Frame]:
    module, _, name = path.partition(":")
    found: Callable[[Frame], Frame] = getattr(importlib.import_module(module), name)
    return found


def _answer(work: Callable[[Frame], Frame], asked: Frame) -> Frame:
    """Work under a timer that ends the process, should nobody be left to do so."""
    signal.setitimer(signal.ITIMER_REAL, float(asked.values[BUDGET]) + _GRACE_S)
    try:
        return work(asked)
    except ServiceError as error:
        return Frame({"error": type(error).__name__, "message": error.message})
    except MemoryError as error:
        told = f"the segmenter needed more memory than --worker-memory-bytes allows ({error})"
        return Frame({"error": "BackendFailed", "message": f"{told}: send a smaller image"})
    except Exception as error:  # noqa: BLE001  it is the answer to this request
        return Frame({"error": "BackendFailed", "message": f"the segmenter failed: {error!r}"})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
