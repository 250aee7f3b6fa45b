"""numpy's own threads: none beside the one that calls."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segserve.execution.blas import hold_blas_to

MEASURE = """
import asyncio, json
import numpy
from threadpoolctl import threadpool_info
from segserve.execution.cpu_pool import CpuPool

def threads():
    return [p["num_threads"] for p in threadpool_info() if p["internal_api"] == "openblas"]

before = threads()
pool = CpuPool(1)
print(json.dumps([before, threads()]))
asyncio.run(pool.close())
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone lists its libraries")
def test_with_a_pool_of_one_core_linear_algebra_stays_on_its_thread(monkeypatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    before, held = json.loads(done.stdout)
    assert set(before) == {2}
    assert held == [1] * len(before)


def test_sums_stay_right() -> None:
    hold_blas_to(1)
    assert (np.ones((3, 4)) @ np.ones((4, 2))).tolist() == [[4.0, 4.0]] * 3
