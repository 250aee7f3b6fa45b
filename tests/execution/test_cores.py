"""The quota of either kind of cgroup counts, not the host's cores."""

import os

import pytest

from segserve.execution.cores import available_cores

HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", HERE),
        ("50000 100000", 1),
        ("150000 100000", min(2, HERE)),
        ("900000000 100000", HERE),
        ("rubbish", HERE),
        ("", HERE),
        ("1 0", HERE),
    ],
)
def test_cgroup_v2(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", HERE), ("20000", 1), ("110000", min(2, HERE))])
def test_cgroup_v1(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path) == cores


def test_no_cgroup_at_all(tmp_path):
    assert available_cores(tmp_path / "nothing") == HERE
