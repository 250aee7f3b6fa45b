"""Processes for work that can neither be interrupted nor be let near the GIL.

A worker does one piece of work at a time. One that is over its budget is killed, and so is one that
nobody waits for any more, a second later; one that was killed, or that crashed, is started anew at
once, and the next caller waits until it is ready. A start that fails costs the callers that wait
for it; the next one starts another.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
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
_START_TRIES = 2  # one that is killed while it starts, for instance for want of memory, is no news
_STUCK_S = 5  # that a live process takes to read or write what lies before it
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
    first : Frame or None
        Work that each new process does before it is ready, so that what a library does at its
        first use is on nobody's budget.

    Raises
    ------
    LoadFailed
        When the process cannot import it, or fails at the first work.
    """

    def __init__(self, function: str, max_bytes: int = 0, first: Frame | None = None) -> None:
        self._function = function
        self._max_bytes = max_bytes
        self._first = first
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._owed = 0
        self._closed = False
        self.restarts = 0
        self._make_ready(never)

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
            When the process died of the work, the function failed, or no process could be started.
        ServiceError
            What the function raised, by its kind.
        """
        asked = Frame({**frame.values, BUDGET: budget_s}, frame.arrays)
        with self._lock:
            try:
                self._make_ready(stop)
            except LoadFailed as error:
                raise BackendFailed(f"{error.message}; the next request starts another") from None
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
            raise EOFError
        return self._connection

    def _make_ready(self, stop: Stop) -> None:
        """Start a process where there is none, and wait until it can take work."""
        if self._closed:
            raise BackendFailed("the worker process is closed")
        if self._process is not None and self._process.poll() is not None and not self._owed:
            self._restart()  # it died since the last request, which is not to pay for it
        for tries_left in reversed(range(_START_TRIES)):
            if self._connection is None:
                self._start()
            try:
                self._hear_ready(stop)
                break
            except (EOFError, OSError):
                code = self._stop()
                if not tries_left:
                    raise self._not_started(f"it died (exit code {code})") from None
            except LoadFailed:
                self._stop()
                raise

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _STUCK_S, 0))
        with theirs:
            command = [sys.executable, "-m", "segserve.execution.worker_main"]
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own program
                    [*command, str(theirs.fileno()), self._function, str(self._max_bytes)],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise self._not_started(str(error)) from None
        self._connection = Connection(ours.detach())
        self._owed = 1
        if self._first is not None:
            self._owed = 2
            asked = Frame({**self._first.values, BUDGET: _START_TIMEOUT_S}, self._first.arrays)
            with suppress(OSError):  # it has died, as will be heard when its answer is waited for
                send(self._connection, asked)

    def _hear_ready(self, stop: Stop) -> None:
        """Wait for what a new process owes: that it is ready, and that its first work went well."""
        connection = self._open_connection()
        end_s = time.monotonic() + _START_TIMEOUT_S
        while self._owed:
            while not connection.poll(_LOOK_S):
                if stop():
                    raise Cancelled("nobody waits for the answer: the work was not begun")
                if time.monotonic() > end_s:
                    raise self._not_started(f"nothing heard for {_START_TIMEOUT_S:g} s")
            told = receive(connection).values
            if "failed" in told or "error" in told:
                raise self._not_started(str(told.get("failed", told.get("message"))))
            self._owed -= 1

    def _not_started(self, why: str) -> LoadFailed:
        return LoadFailed(f"the worker process for {self._function} did not start: {why}")

    def _restart(self) -> int | None:
        """Kill the process and start another; gives the exit code of the old one."""
        code = self._stop()
        self.restarts += 1
        with suppress(LoadFailed):  # the next caller tries again, and is told
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
        process, self._process = self._process, None
        return process.wait(_STOP_TIMEOUT_S)

    def close(self) -> None:
        """End the process; nobody is inside `call`."""
        with self._lock:
            self._closed = True
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
