"""What the machine's cores and memory do, as Linux tells it under ``/proc``; of the whole machine.

Source of the numbers: ``proc_stat(5)`` and ``proc_meminfo(5)``; Triton's ``nv_cpu_*`` gauges are
taken from the same files.
"""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_IDLE = slice(3, 5)  # idle and iowait
_COUNTED = slice(0, 8)  # what follows, a guest's time, is in the user's already
_KIB = 1024


class HostLoad:
    """Reads the machine's load; every answer is None where the system does not tell.

    Parameters
    ----------
    proc : Path
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._before = self._times()

    def cpu_utilization(self) -> float | None:
        """Give the part of all cores' time, 0 to 1, that was used since the last call."""
        now = self._times()
        if now is None or self._before is None:
            return None
        idle, total = (n - b for n, b in zip(now, self._before, strict=True))
        self._before = now
        return max(0.0, 1.0 - idle / total) if total > 0 else 0.0

    def memory_bytes(self) -> tuple[int, int] | None:
        """Give the memory's size, and how much of it is used: what new programs cannot have."""
        rows = dict(line.split(":", 1) for line in self._read("meminfo").splitlines())
        try:
            total, free = (int(rows[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
        except (KeyError, ValueError, IndexError):
            return None
        return total * _KIB, (total - free) * _KIB

    def _times(self) -> tuple[int, int] | None:
        """Give the idle and the whole time of all cores, in ticks."""
        first = self._read("stat").partition("\n")[0].split()
        if not first or first[0] != "cpu":
            return None
        ticks = [int(text) for text in first[1:]]
        return sum(ticks[_IDLE]), sum(ticks[_COUNTED])

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""
