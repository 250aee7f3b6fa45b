"""A server as a child process: started as a user would, measured from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 120.0
_STOP_S = 40.0


@dataclass(frozen=True)
class ServerProcess:
    """A running server.

    Parameters
    ----------
    pid : int
    grpc_port, http_port : int
    ready_s : float
        Seconds from its start to ready.
    """

    pid: int
    grpc_port: int
    http_port: int
    ready_s: float

    def cpu_s(self) -> float:
        """CPU-seconds of all its threads so far, in steps of a clock tick (10 ms)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kib) * 1024


@contextmanager
def running_server(
    repository: Path, *flags: str, start_s: float = _START_S
) -> Iterator[ServerProcess]:
    """Start a server on free ports, wait until it is ready, and stop it in the end.

    Raises
    ------
    RuntimeError
        When it does not get ready in `start_s`, or does not stop with exit code 0.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        started_s = time.monotonic()
        process = subprocess.Popen(  # noqa: S603  our own program
            [
                *(sys.executable, "-m", "segserve", "serve", "--model-repository", str(repository)),
                *("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"),
                *("--grpc-address", "127.0.0.1", "--http-address", "127.0.0.1"),
                *("--metrics-address", "127.0.0.1", *flags),
            ],
            stderr=log,
        )
        try:
            ports = _ports(process, Path(log.name), started_s + start_s)
            ready_s = time.monotonic() - started_s
            yield ServerProcess(process.pid, ports["grpc"], ports["http"], ready_s)
        finally:
            process.terminate()
            try:
                code = process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        if code != 0:
            raise RuntimeError(f"server ended with {code}: {Path(log.name).read_text()[-2000:]}")


def _ports(process: subprocess.Popen[bytes], log: Path, until_s: float) -> dict[str, int]:
    while time.monotonic() < until_s and process.poll() is None:
        events = [json.loads(x) for x in log.read_text().splitlines() if x.startswith("{")]
        if any(event["event"] == "ready" for event in events):
            return {e["protocol"]: e["port"] for e in events if e["event"] == "listening"}
        if any(event["event"] == "started" for event in events):
            break
        time.sleep(0.01)
    raise RuntimeError(f"server is not ready: {log.read_text()[-2000:]}")
