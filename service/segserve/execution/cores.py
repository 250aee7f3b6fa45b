"""How many cores this process may use: the cgroup's quota and the affinity mask, not the host's."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path


def available_cores(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Give the cores that the scheduler will really give us, at least 1.

    Parameters
    ----------
    cgroup_root : Path
        Where cgroup v2 (``cpu.max``) or v1 (``cpu/cpu.cfs_quota_us``) is mounted.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = _quota_v2(cgroup_root / "cpu.max") or _quota_v1(cgroup_root / "cpu")
    return max(1, min(affinity, ceil(quota)) if quota else affinity)


def _quota_v2(path: Path) -> float | None:
    """Read ``cpu.max``: quota and period in microseconds, or ``max``."""
    fields = _read(path).split()
    if len(fields) != 2 or fields[0] == "max":  # noqa: PLR2004  quota and period
        return None
    return _ratio(fields[0], fields[1])


def _quota_v1(folder: Path) -> float | None:
    """Read the completely fair scheduler's quota; -1 for none."""
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota_us: str, period_us: str) -> float | None:
    try:
        quota, period = int(quota_us), int(period_us)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
