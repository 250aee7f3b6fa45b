"""Memory goes back to the system."""

import platform
from pathlib import Path

import numpy as np
import pytest

from segserve.execution.heap import release_code, trim_heap


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_freed_memory_is_given_back():
    blocks = [np.ones(12_000, np.uint8) for _ in range(8000)]  # too small for pages of their own
    pin = np.ones(12_000, np.uint8)  # keeps the top of the heap from shrinking by itself
    del blocks
    before = resident_bytes()
    assert trim_heap()
    assert before - resident_bytes() > 50_000_000
    assert pin[0] == 1


@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux lists a process's mappings")
def test_code_is_let_go_of_and_comes_back():
    library = Path(np._core._multiarray_umath.__file__).name
    values = np.arange(1000.0)
    assert np.sort(values[::-1]).tolist() == values.tolist()
    before = resident_bytes()
    assert release_code(library) > 1_000_000
    assert before - resident_bytes() > 500_000
    assert np.sort(values[::-1]).tolist() == values.tolist()
    assert release_code("no such library.so") == 0
