"""A real server as a child process, and small models to give it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

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


@pytest.fixture
def serve():
    """Start servers; all are stopped at the end of the test."""
    started = []

    def start(*flags, env=None):
        started.append(ServerProcess(*flags, env=env))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def write_identity(folder: Path, name="identity", version=1, *, dims=(-1,), scale=1.0):
    """A model that gives its FP32 input times `scale`; a scale tells versions apart."""
    shape = ["n", *(f"d{i}" if d < 0 else d for i, d in enumerate(dims))]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "scale"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [scale])],
    )
    return write_model(folder, name, version, graph)


def write_slow(folder: Path, name="slow", *, size=256, rounds=200):
    """A model that burns some tens of milliseconds per run: a chain of matrix products."""
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", "w"], [f"h{i + 1}"])
        for i in range(rounds)
    ]
    nodes.append(helper.make_node("Identity", [f"h{rounds}"], ["y"]))
    shape = ["n", size, size]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor(
                "w", TensorProto.FLOAT, [size, size], np.eye(size, dtype=np.float32).ravel()
            )
        ],
    )
    return write_model(folder, name, 1, graph)


def write_model(folder: Path, name, version, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / name / str(version)
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    return folder / name


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def models():
    """The writers of small models."""

    class Writers:
        identity = staticmethod(write_identity)
        slow = staticmethod(write_slow)

    return Writers


def infer_json(server, model, data, shape, *, version="", timeout_s=30, **parameters):
    """A JSON inference; gives the response."""
    url = f"{server.http}/v2/models/{model}{version and f'/versions/{version}'}/infer"
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": list(shape), "data": list(data)}],
        "parameters": parameters,
    }
    return httpx.post(url, json=body, timeout=timeout_s)


@pytest.fixture
def infer():
    return infer_json
