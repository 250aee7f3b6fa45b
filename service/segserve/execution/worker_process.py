"""Processes for work that can neither be interrupted nor be let near the GIL.

A worker does one piece of work at a time. One that is over its budget is killed, and so is one that
nobody waits for any more, a second later; one that was killed, or that crashed, is started anew at
once, and the next caller waits until it is ready.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from segserve.core import errors
from segserve.core.errors import (
    BackendFailed,
    Cancelled,
    DeadlineExceeded,
    LoadFailed,
    ServiceError,
)
from segserve.execution.backend import Stop, never
from segserve.execution.worker_frames import Frame, receive, send
from segserve.execution.worker_main import BUDGET

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 2.0
_LOOK_S = 0.05
_ABANDONED_S = 1.0  # what work that nobody waits for may still take: about what a restart costs


class WorkerProcess:
    """One process and the function that it runs.

    Parameters
    ----------
    function : str
        ``module:name`` of a function that takes a `Frame` and gives one.
    max_bytes : int
        Address space of the process (RLIMIT_AS); work that needs more fails. 0 for no limit.

    Raises
    ------
    LoadFailed
        When the process cannot import it.
    """

    def __init__(self, function: str, max_bytes: int = 0) -> None:
        self._function = function
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._ready = False
        self.restarts = 0
        self._start()
        self._wait_ready()

    @property
    def pid(self) -> int | None:
        """Id of the process; None after `close`."""
        return self._process.pid if self._process is not None else None

    def call(self, frame: Frame, budget_s: float, stop: Stop = never) -> Frame:
        """Run the function in the process; blocks.

        Parameters
        ----------
        stop : callable
            Asked whether nobody waits for the answer any more.

        Raises
        ------
        Cancelled
            When `stop` said so, and the work had not begun or took long after that.
        DeadlineExceeded
            When it did not end within the budget: it was killed.
        BackendFailed
            When the process died of the work, or the function failed.
        ServiceError
            What the function raised, by its kind.
        """
        asked = Frame({**frame.values, BUDGET: budget_s}, frame.arrays)
        with self._lock:
            self._wait_ready()
            if stop():
                raise Cancelled("nobody waits for the answer: the work was not begun")
            answer = self._exchange(asked, budget_s, stop)
        if "error" in answer.values:
            raise _as_error(answer)
        return answer

    def _exchange(self, asked: Frame, budget_s: float, stop: Stop) -> Frame:
        connection = self._open_connection()
        end_s = time.monotonic() + budget_s
        try:
            send(connection, asked)
            if _answered(connection, end_s, stop):
                return receive(connection)
        except (EOFError, OSError):
            code = self._restart()
            raise BackendFailed(
                f"the worker process died of this request (exit code {code}); others are not "
                f"affected: send another image, or other options"
            ) from None
        except BackendFailed:
            self._restart()
            raise
        self._restart()
        if time.monotonic() < end_s:
            raise Cancelled("nobody waits for the answer: the work was stopped")
        raise DeadlineExceeded(
            f"the work did not end within its budget of {budget_s:g} s and was stopped: send a "
            f"smaller image, or raise the config parameter 'budget_ms'"
        )

    def _open_connection(self) -> Connection[Any, Any]:
        if self._connection is None:
            raise BackendFailed("the worker process is closed")
        return self._connection

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "segserve.execution.worker_main"]
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [*command, str(theirs.fileno()), self._function, str(self._max_bytes)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._ready = False

    def _wait_ready(self) -> None:
        """Wait until a process that was just started can take work."""
        if self._ready:
            return
        connection = self._open_connection()
        try:
            told = receive(connection).values if connection.poll(_START_TIMEOUT_S) else {}
        except (EOFError, OSError):
            told = {"failed": "it died"}
        if "ready" not in told:
            self._stop()
            raise LoadFailed(
                f"the worker process for {self._function} did not start: "
                f"{told.get('failed', f'nothing heard for {_START_TIMEOUT_S:g} s')}"
            )
        self._ready = True

    def _restart(self) -> int | None:
        """Kill the process and start another; gives the exit code of the old one."""
        code = self._stop()
        self.restarts += 1
        self._start()
        return code

    def _stop(self) -> int | None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait(_STOP_TIMEOUT_S)
        self._process = None
        return code

    def close(self) -> None:
        """End the process; nobody is inside `call`."""
        with self._lock:
            self._stop()


def _answered(connection: Connection[Any, Any], end_s: float, stop: Stop) -> bool:
    """Wait for the answer; false when the time is up, or nobody has waited for it for long."""
    while (now_s := time.monotonic()) < end_s:
        if connection.poll(min(_LOOK_S, end_s - now_s)):
            return True
        if stop():
            return connection.poll(min(_ABANDONED_S, max(0.0, end_s - time.monotonic())))
    return connection.poll(0)


def _as_error(answer: Frame) -> ServiceError:
    kind = getattr(errors, str(answer.values["error"]), BackendFailed)
    known = isinstance(kind, type) and issubclass(kind, ServiceError)
    error: ServiceError = (kind if known else BackendFailed)(str(answer.values.get("message", "")))
    return error
