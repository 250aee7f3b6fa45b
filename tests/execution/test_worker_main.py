"""The worker's own program: ends when nobody is left, and by its timer when it is left alone."""

import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

import pytest

from segserve.execution.worker_frames import Frame, receive, send

WORK = """
import time
def work(asked):
    time.sleep(600)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    (tmp_path / "long_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        command = [sys.executable, "-m", "segserve.execution.worker_main", str(fd)]
        process = subprocess.Popen([*command, "long_work:work", "0"], pass_fds=(fd,))
    connection = Connection(ours.detach())
    assert receive(connection).values == {"ready": True}
    yield process, connection
    connection.close()
    process.kill()
    process.wait()


def test_it_leaves_when_its_socket_is_closed(started) -> None:
    process, connection = started
    connection.close()
    assert process.wait(10) == 0


def test_interrupts_are_the_servers_business(started) -> None:
    process, connection = started
    process.send_signal(signal.SIGINT)
    connection.close()
    assert process.wait(10) == 0


def test_left_alone_with_its_work_it_ends_by_itself(started) -> None:
    process, connection = started
    send(connection, Frame({"budget_s": 0.1}))
    connection.close()
    assert process.wait(10) == -signal.SIGALRM
