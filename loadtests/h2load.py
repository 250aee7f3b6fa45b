"""The same load from h2load (Debian: nghttp2-client), whose own cost is small."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadtests.generator import Target


@dataclass(frozen=True)
class H2Load:
    """Answers and seconds of one run, and the median latency in milliseconds."""

    answered: int
    wall_s: float
    p50_ms: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.wall_s


def available() -> bool:
    """Whether h2load is installed."""
    return shutil.which("h2load") is not None


def run_h2load(target: Target, body: Path, concurrency: int, requests: int) -> H2Load:
    """Send `requests` times the message in `body` over one connection, `concurrency` at a time.

    Raises
    ------
    RuntimeError
        When an answer is missing. h2load does not read grpc-status: send what is known to work.
    """
    framed, log = body.with_suffix(".h2load"), body.with_suffix(".log")
    log.unlink(missing_ok=True)  # it would be added to
    message = body.read_bytes()
    framed.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
    done = subprocess.run(  # noqa: S603  a fixed program, our own arguments
        [
            *("h2load", "-n", str(requests), "-c", "1", "-m", str(concurrency), "-t", "1"),
            *("-d", str(framed), "-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"--log-file={log}",  # start, status and microseconds of each request
            f"http://{target.address}{target.method}",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    wall = re.search(r"finished in ([\d.]+)(ms|s|us)", done.stdout)
    answered = re.search(r"(\d+) succeeded", done.stdout)
    if wall is None or answered is None or int(answered.group(1)) != requests:
        raise RuntimeError(f"h2load: not every request was answered: {done.stdout[-1500:]}")
    unit_s = {"s": 1.0, "ms": 1e-3, "us": 1e-6}[wall.group(2)]
    took_us = [int(line.split()[2]) for line in log.read_text().splitlines()]
    return H2Load(requests, float(wall.group(1)) * unit_s, median(took_us) / 1e3)
