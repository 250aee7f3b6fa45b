"""Freed memory really goes back."""

import numpy as np

from segserve.execution.memory import trim_memory


def rss_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_small_freed_blocks_go_back_to_the_system():
    trim_memory()
    blocks = [np.ones(2_000) for _ in range(4_000)]
    keep = blocks[::400]
    full = rss_bytes()
    del blocks
    trim_memory()
    assert full - rss_bytes() > 32_000_000
    assert len(keep) == 10
