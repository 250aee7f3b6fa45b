"""numpy's own threads: none beside the one that calls."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segserve.execution.blas import hold_blas_to

MEASURE = """
import asyncio, resource, time
import numpy as np
from segserve.execution.cpu_pool import CpuPool
pool = CpuPool(1)
matrix = np.random.default_rng(0).random((800, 800))

def share_of_others():
    whole, mine = time.process_time(), time.thread_time()
    for _ in range(3):
        matrix @ matrix
    return 1 - (time.thread_time() - mine) / (time.process_time() - whole)

print(share_of_others())
asyncio.run(pool.close())
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone lists its libraries")
def test_with_a_pool_of_one_core_linear_algebra_stays_on_its_thread(monkeypatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.25  # with two threads it is a half


def test_sums_stay_right() -> None:
    hold_blas_to(1)
    assert (np.ones((3, 4)) @ np.ones((4, 2))).tolist() == [[4.0, 4.0]] * 3
