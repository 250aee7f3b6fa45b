"""How many cores this process may use: the cgroup's quota and the affinity mask, not the host's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores(cgroup_root: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Give the cores that the scheduler will really give us, at least 1.

    A quota is rounded up, and the smallest on the way from this process's own group to the root
    counts: in a container that is the root itself, in a service of the host a group below it.

    Parameters
    ----------
    cgroup_root : Path
        Where cgroup v2 (``cpu.max``) or v1 (``cpu/cpu.cfs_quota_us``) is mounted.
    membership : Path
        The process's groups as Linux lists them (``hierarchy:controllers:path``; cgroups(7)).
    """
    affinity = len(os.sched_getaffinity(0))
    quotas = [quota for quota in _quotas(cgroup_root, membership) if quota is not None]
    return max(1, min(affinity, ceil(min(quotas)))) if quotas else affinity


def _quotas(root: Path, membership: Path) -> Iterator[float | None]:
    for controllers, path in _groups(membership):
        if not controllers:
            yield from (_quota_v2(folder / "cpu.max") for folder in _up(root, path))
        elif "cpu" in controllers:
            for mount in (root / "cpu", root / "cpu,cpuacct"):
                yield from (_quota_v1(folder) for folder in _up(mount, path))


def _groups(membership: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give controllers and path of each group; both roots when the list cannot be read."""
    yield (), "/"
    yield ("cpu",), "/"
    for line in _read(membership).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:  # noqa: PLR2004  hierarchy, controllers, path
            yield tuple(filter(None, fields[1].split(","))), fields[2]


def _up(mount: Path, path: str) -> Iterator[Path]:
    """Give the folders from a group up to the mount's root; paths out of it are of the host."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        return
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


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
