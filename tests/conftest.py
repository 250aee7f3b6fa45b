"""What every test may ask for: the clone's root, the goldens beside it, a real server."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

import segserve  # noqa: F401  opts out of telemetry before anything imports onnxruntime

# torch's threads wait for each other after every small operation: on busy cores one is faster.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Whatever else the machine does: pytest's own time limit is enough.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Leave what was imported out of looking for garbage: that may take 0.2 s."""
    gc.freeze()


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def goldens(repo_root: Path) -> Path:
    folder = repo_root.parent / "shared" / "goldens"
    if not folder.is_dir():
        pytest.skip("../shared/goldens is not there")
    return folder


START_TIMEOUT_S = 60


class ServerProcess:
    """``python -m segserve serve`` on free ports, with its log read as it comes."""

    def __init__(self, *flags, env=None):
        command = [sys.executable, "-m", "segserve", "serve"]
        for protocol in ("grpc", "http", "metrics"):
            command += [f"--{protocol}-port", "0", f"--{protocol}-address", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*command, *map(str, flags)],
            stderr=subprocess.PIPE,
            text=True,
            env=None if env is None else {**os.environ, **env},
        )
        self.events = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            is_event = line.startswith("{")
            self.events.append(json.loads(line) if is_event else {"event": "?", "text": line})

    def wait_event(self, *names, timeout_s=START_TIMEOUT_S, **fields):
        """Wait for a log event by one of the names and with these fields."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            for event in tuple(self.events):
                if event["event"] in names and fields.items() <= event.items():
                    return event
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"no event {names} {fields} in {self.events}")

    def wait_started(self):
        self.wait_event("ready", "started")
        return self

    def port(self, protocol):
        return self.wait_event("listening", protocol=protocol)["port"]

    @property
    def grpc(self):
        return f"127.0.0.1:{self.port('grpc')}"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.port('http')}"

    @property
    def metrics(self):
        return f"http://127.0.0.1:{self.port('metrics')}/metrics"

    def stop(self, timeout_s=30):
        """SIGTERM and wait; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stderr.close()

    def tell(self):
        """Print what went wrong in its log; pytest shows it of a test that fails."""
        for event in self.events:
            if event.get("level") not in ("INFO", "DEBUG"):
                print(json.dumps(event), file=sys.stderr)


def _servers():
    started = []

    def start(*flags, env=None):
        started.append(ServerProcess(*flags, env=env))
        return started[-1]

    yield start
    for server in started:
        server.stop()
        server.tell()


@pytest.fixture
def serve():
    """Start servers; all are stopped at the end of the test."""
    yield from _servers()


@pytest.fixture(scope="module")
def serve_module():
    """Start servers that a module's tests share; all are stopped after the last of them."""
    yield from _servers()


@pytest.fixture
def own_cpu_s() -> Iterator[Callable[[], float]]:
    """Clock of the CPU that a test itself takes: without other threads, or looking for garbage."""
    gc.disable()
    yield time.thread_time
    gc.enable()
