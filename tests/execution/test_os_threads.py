"""What Linux is told of a thread, read back from Linux."""

import os
import sys
import threading
from pathlib import Path

import pytest

from segserve.execution.os_threads import give_way, name_thread

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="threads have names and priorities of their own on Linux"
)


def on_a_thread(work):
    """Give what `work` gives on a new thread, which ends with it."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def priority():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_has_its_name():
    def named():
        name_thread("segserve-a-long-name-0")
        return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text()

    assert on_a_thread(named) == "segserve-a-long\n"


@pytest.mark.parametrize(("nice", "lower"), [(0, 0), (10, 10), (40, 19)])
def test_a_thread_gives_way_and_the_others_do_not(nice, lower):
    usual = priority()

    def given():
        give_way(nice)
        return priority()

    assert on_a_thread(given) == min(usual + lower, 19)
    assert priority() == usual
