"""Worker processes: answers, budgets, crashes, restarts."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from segserve.core.errors import (
    BackendFailed,
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    LoadFailed,
)
from segserve.execution import worker_process
from segserve.execution.worker_frames import Frame
from segserve.execution.worker_process import WorkerProcess

WORK = """
import os, signal, time
from segserve.core.errors import InvalidInput
from segserve.execution.worker_frames import Frame

def work(asked):
    do = asked.values["do"]
    if do == "add":
        threads = os.popen("echo $OMP_NUM_THREADS").read().strip()
        return Frame({"pid": os.getpid(), "threads": threads},
                     {"sum": asked.arrays["a"] + asked.arrays["b"]})
    if do == "sleep":
        time.sleep(asked.values["s"])
        return Frame({"slept": True})
    if do == "spin":
        while True:
            pass
    if do == "stuck":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})
        time.sleep(600)
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "leave":
        os._exit(3)
    if do == "refuse":
        raise InvalidInput("not like this")
    if do == "bug":
        raise KeyError("x")
    if do == "memory":
        raise MemoryError
    if do == "hog":
        return Frame({"got": len(bytearray(asked.values["bytes"]))})
"""


@pytest.fixture
def pieces_of_work(tmp_path, monkeypatch):
    (tmp_path / "pieces_of_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return "pieces_of_work:work"


@pytest.fixture
def worker(pieces_of_work):
    one = WorkerProcess(pieces_of_work)
    yield one
    one.close()


def add(worker, budget_s=20):
    arrays = {"a": np.array([1, 2]), "b": np.array([10, 20])}
    return worker.call(Frame({"do": "add"}, arrays), budget_s)


def test_it_answers_from_another_process_on_one_thread(worker) -> None:
    answer = add(worker)
    assert answer.arrays["sum"].tolist() == [11, 22]
    assert answer.values["pid"] == worker.pid != os.getpid()
    assert answer.values["threads"] == "1"


@pytest.mark.parametrize("do", ["spin", "stuck"])
def test_work_over_its_budget_is_killed_and_the_next_is_served(worker, do) -> None:
    before = worker.pid
    start_s = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"budget of 0\.3 s"):
        worker.call(Frame({"do": do}), 0.3)
    assert time.monotonic() - start_s < 3
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert add(worker).values["pid"] == worker.pid != before
    assert worker.restarts == 1


@pytest.mark.parametrize("do", ["crash", "leave"])
def test_a_crash_is_that_requests_alone(worker, do) -> None:
    with pytest.raises(BackendFailed, match="died of this request"):
        worker.call(Frame({"do": do}), 20)
    assert add(worker).arrays["sum"].tolist() == [11, 22]


def test_errors_keep_their_kind_and_the_process(worker) -> None:
    before = worker.pid
    with pytest.raises(InvalidInput, match="not like this"):
        worker.call(Frame({"do": "refuse"}), 20)
    for do in ("bug", "memory"):
        with pytest.raises(BackendFailed, match=r"the segmenter (failed|needed more memory)"):
            worker.call(Frame({"do": do}), 20)
    assert add(worker).values["pid"] == before


def dead(pid) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_process_that_dies_between_requests_costs_none_of_them(worker) -> None:
    before = worker.pid
    dead(before)
    assert add(worker).values["pid"] == worker.pid != before
    assert worker.restarts == 1


def test_a_process_that_dies_while_it_starts_is_replaced(worker) -> None:
    with pytest.raises(BackendFailed, match="died of this request"):
        worker.call(Frame({"do": "crash"}), 20)
    dead(worker.pid)  # the one that was started then
    assert add(worker).arrays["sum"].tolist() == [11, 22]


def test_after_starts_that_failed_the_next_request_starts_another(worker, tmp_path) -> None:
    (tmp_path / "pieces_of_work.py").write_text("import os; os._exit(7)")
    dead(worker.pid)
    for _ in range(2):
        with pytest.raises(BackendFailed, match=r"did not start: it died \(exit code 7\)"):
            add(worker)
    (tmp_path / "pieces_of_work.py").write_text(WORK)
    assert add(worker).arrays["sum"].tolist() == [11, 22]


def test_a_start_is_not_waited_for_by_those_who_have_gone(worker, tmp_path) -> None:
    (tmp_path / "pieces_of_work.py").write_text("import time; time.sleep(1)\n" + WORK)
    dead(worker.pid)
    with pytest.raises(Cancelled, match="not begun"):
        worker.call(Frame({"do": "crash"}), 20, lambda: True)
    assert add(worker).arrays["sum"].tolist() == [11, 22]


def test_every_process_does_the_first_work_before_its_budgets_count(pieces_of_work) -> None:
    worker = WorkerProcess(pieces_of_work, first=Frame({"do": "sleep", "s": 0.5}))
    try:
        before = worker.pid
        assert add(worker, budget_s=0.3).values["pid"] == before
        with pytest.raises(DeadlineExceeded):
            worker.call(Frame({"do": "spin"}), 0.3)
        assert add(worker, budget_s=0.3).values["pid"] == worker.pid != before
    finally:
        worker.close()


def test_first_work_that_fails_fails_the_load(pieces_of_work) -> None:
    with pytest.raises(LoadFailed, match="not like this"):
        WorkerProcess(pieces_of_work, first=Frame({"do": "refuse"}))


def test_a_process_that_reads_nothing_is_killed(worker, monkeypatch) -> None:
    monkeypatch.setattr(worker_process, "_STUCK_S", 1)
    with pytest.raises(BackendFailed, match="died of this request"):
        worker.call(Frame({"do": "crash"}), 20)  # the next one is started with the shorter time
    add(worker)
    before = worker.pid
    os.kill(before, signal.SIGSTOP)
    large = {"a": np.zeros(1 << 20), "b": np.zeros(1 << 20)}
    with pytest.raises(BackendFailed):
        worker.call(Frame({"do": "add"}, large), 20)
    assert add(worker).values["pid"] != before


def test_callers_take_turns(worker) -> None:
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(add(worker).values["pid"])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [worker.pid] * 4


def test_the_process_ends_with_its_socket(worker) -> None:
    pid = worker.pid
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BackendFailed, match="closed"):
        add(worker)


def test_what_cannot_be_imported_fails_the_load() -> None:
    with pytest.raises(LoadFailed, match="No module named 'nowhere'"):
        WorkerProcess("nowhere:work")


@pytest.fixture
def small_worker(tmp_path, monkeypatch):
    (tmp_path / "pieces_of_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = WorkerProcess("pieces_of_work:work", max_bytes=1 << 30)
    yield one
    one.close()


def test_memory_is_bounded_and_asking_for_more_costs_that_request_alone(small_worker) -> None:
    before = small_worker.pid
    some = small_worker.call(Frame({"do": "hog", "bytes": 1 << 26}), 20)
    assert some.values["got"] == 1 << 26
    with pytest.raises(BackendFailed, match="--worker-memory-bytes"):
        small_worker.call(Frame({"do": "hog", "bytes": 2 << 30}), 20)
    assert add(small_worker).values["pid"] == before


def test_work_that_nobody_waits_for_is_not_begun(worker) -> None:
    before = worker.pid
    with pytest.raises(Cancelled, match="not begun"):
        worker.call(Frame({"do": "crash"}), 20, lambda: True)
    assert add(worker).values["pid"] == before


def test_work_that_is_abandoned_may_end_soon_and_else_is_killed(worker) -> None:
    before, start_s = worker.pid, time.monotonic()
    gone = iter([False] + [True] * 1000)
    slept = worker.call(Frame({"do": "sleep", "s": 0.3}), 20, lambda: next(gone))
    assert slept.values["slept"]
    assert worker.pid == before
    gone = iter([False] + [True] * 1000)
    with pytest.raises(Cancelled, match="was stopped"):
        worker.call(Frame({"do": "spin"}), 20, lambda: next(gone))
    assert time.monotonic() - start_s < 6
    assert add(worker).values["pid"] != before
