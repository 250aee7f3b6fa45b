"""The quota of either kind of cgroup counts, not the host's cores."""

import os
from pathlib import Path

import pytest

from segserve.execution.cores import available_cores

NOBODY = Path(os.devnull)
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
    assert available_cores(tmp_path, NOBODY) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", HERE), ("20000", 1), ("110000", min(2, HERE))])
def test_cgroup_v1(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path, NOBODY) == cores


def test_no_cgroup_at_all(tmp_path):
    assert available_cores(tmp_path / "nothing", NOBODY) == HERE


def test_the_smallest_quota_on_the_way_to_the_root_counts(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/segserve.service\n")
    group = tmp_path / "system.slice" / "segserve.service"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n")
    assert available_cores(tmp_path, membership) == HERE
    (group.parent / "cpu.max").write_text("100000 100000\n")
    assert available_cores(tmp_path, membership) == 1
    membership.write_text("0::/elsewhere\n")
    assert available_cores(tmp_path, membership) == HERE


def test_groups_of_cgroup_v1_too(tmp_path):
    membership = tmp_path / "cgroup"
    membership.write_text("12:cpuset:/x\n4:cpu,cpuacct:/docker/abc\n")
    group = tmp_path / "cpu,cpuacct" / "docker" / "abc"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000")
    (group / "cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path, membership) == 1


def test_a_group_outside_the_mount_is_not_followed(tmp_path):
    root = tmp_path / "mount"
    root.mkdir()
    (tmp_path / "cpu.max").write_text("100000 100000")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/..\nrubbish\n")
    assert available_cores(root, membership) == HERE
