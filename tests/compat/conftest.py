"""A real server with small models, and third-party clients run as child processes.

Each program of tests/compat/programs runs all of its cases in one child, because two copies of the
KServe messages cannot live in one process, and prints ``{case: null or traceback}``.
"""

import ast
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

FOLDER = Path(__file__).parent / "programs"
START_TIMEOUT_S = 60
PROGRAM_TIMEOUT_S = 100

DATATYPES = {
    **{name: name for name in ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64")},
    **{name: name for name in ("INT8", "INT16", "INT32", "INT64")},
    "FP16": "FLOAT16",
    "FP32": "FLOAT",
    "FP64": "DOUBLE",
    "BYTES": "STRING",
}
AT_START = [
    *(f"identity_{name}" for name in DATATYPES),
    *("add_sub", "patient", "find", "folded", "colours"),
]


class Server:
    """``python -m segserve serve`` on free ports; ready once made."""

    def __init__(self, *flags):
        command = [sys.executable, "-m", "segserve", "serve", *map(str, flags)]
        for protocol in ("grpc", "http", "metrics"):
            command += [f"--{protocol}-port", "0", f"--{protocol}-address", "127.0.0.1"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.ports = {}
        self.log = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait()

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                self._note(line)

    def _note(self, line):
        self.log.append(line)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "listening":
            self.ports[event["protocol"]] = event["port"]
        if event.get("event") == "ready":
            self._ready.set()

    def _wait(self):
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._ready.wait(0.05):
            if self.process.poll() is not None or time.monotonic() > end_s:
                self.process.kill()
                self._reader.join(5)
                raise AssertionError("the server did not become ready:\n" + "".join(self.log))

    def address(self, protocol):
        return f"127.0.0.1:{self.ports[protocol]}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)


def save(folder, name, graph, config):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / name / "1").mkdir(parents=True)
    onnx.save(model, folder / name / "1" / "model.onnx")
    (folder / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}')


def value(name, element, *shape):
    return helper.make_tensor_value_info(name, element, list(shape))


def write_identity(folder, name, datatype):
    element = getattr(TensorProto, DATATYPES[datatype])
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph(
        [node], "g", [value("x", element, "n", "d")], [value("y", element, "n", "d")]
    )
    save(folder, name, graph, "max_batch_size: 4\n")


WAITS_S = 60
PATIENT = f"""max_batch_size: 4
dynamic_batching {{ max_queue_delay_microseconds: {WAITS_S * 10**6} }}
"""


def write_add_sub(folder, name="add_sub", config="max_batch_size: 4\n"):
    names = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1")
    nodes = [
        helper.make_node(op, names[0], [out])
        for op, out in zip(("Add", "Sub"), names[1], strict=True)
    ]
    ins, outs = ([value(n, TensorProto.FLOAT, "n", 4) for n in row] for row in names)
    save(folder, name, helper.make_graph(nodes, "g", ins, outs), config)


def write_find(folder):
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    ins, outs = [value("x", TensorProto.FLOAT, "n")], [value("y", TensorProto.INT64, 1, "k")]
    save(folder, "find", helper.make_graph(nodes, "g", ins, outs), "max_batch_size: 0\n")


FOLDED = """max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 6 ] reshape { shape: [ 2, 3 ] } }
output { name: "total" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }
output { name: "columns" data_type: TYPE_FP32 dims: [ 1, 3 ] reshape { shape: [ 3 ] } }
"""


def write_folded(folder):
    """Sums of [n, 2, 3], which clients know as [n, 6]."""
    sums = {"a": [1, 2], "b": [1]}
    axes = [helper.make_tensor(n, TensorProto.INT64, [len(v)], v) for n, v in sums.items()]
    nodes = [
        helper.make_node("ReduceSum", ["x", "a"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["x", "b"], ["columns"], keepdims=0),
    ]
    ins = [value("x", TensorProto.FLOAT, "n", 2, 3)]
    outs = [value("total", TensorProto.FLOAT, "n"), value("columns", TensorProto.FLOAT, "n", 3)]
    save(folder, "folded", helper.make_graph(nodes, "g", ins, outs, axes), FOLDED)


COLOURS = """max_batch_size: 4
parameters { key: "family" value { string_value: "semantic" } }
parameters { key: "scale" value { string_value: "1/255" } }
parameters { key: "resize" value { string_value: "none" } }
parameters { key: "shape_policy" value { string_value: "exact" } }
"""


def write_colours(folder):
    """A segmenter whose logits are the pixels: it finds the strongest of red, green and blue."""
    shape = ("n", 3, "h", "w")
    node = helper.make_node("Identity", ["image"], ["logits"])
    ins, outs = ([value(n, TensorProto.FLOAT, *shape)] for n in ("image", "logits"))
    save(folder, "colours", helper.make_graph([node], "g", ins, outs), COLOURS)
    (folder / "colours" / "labels.txt").write_text("red\ngreen\nblue\n")


@pytest.fixture(scope="session")
def compat_photo(tmp_path_factory):
    """A PNG: red on the left, green below it, blue on the right."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :, 0] = 200
    pixels[12:, :, :] = (0, 150, 0)
    pixels[:, 25:, :] = (10, 20, 255)
    path = tmp_path_factory.mktemp("images") / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def compat_repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for datatype in DATATYPES:
        write_identity(folder, f"identity_{datatype}", datatype)
    write_add_sub(folder)
    write_add_sub(folder, "patient", PATIENT)  # holds a lone request back for longer than a test
    write_find(folder)
    write_folded(folder)
    write_colours(folder)
    write_identity(folder, "switch", "FP32")
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.onnx").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    return folder


@pytest.fixture(scope="module")
def compat_server(compat_repository):
    """A server for one file's tests: some leave it with a model that failed to load."""
    flags = ["--model-repository", compat_repository, "--model-control-mode", "explicit"]
    flags += [part for name in AT_START for part in ("--load-model", name)]
    server = Server(*flags)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def polling_server(tmp_path_factory):
    """A server in the default control mode, for the one case that needs it."""
    folder = tmp_path_factory.mktemp("one")
    write_identity(folder, "switch", "FP32")
    server = Server("--model-repository", folder)
    yield server
    server.stop()


def cases_of(program):
    """Name the cases of a program without importing it."""
    tree = ast.parse((FOLDER / f"{program}.py").read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node.name
        for node in tree.body
        if isinstance(node, functions) and node.name.startswith("case_")
    ]


@pytest.fixture(scope="session")
def run_program():
    """Run a program once and remember what came of its cases."""
    done = {}

    def run(program, *arguments):
        key = (program, *arguments)
        if key not in done:
            command = [sys.executable, FOLDER / f"{program}.py", *arguments]
            child = subprocess.run(
                command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False
            )
            assert child.returncode == 0, child.stderr
            done[key] = json.loads(child.stdout.splitlines()[-1])
        return done[key]

    return run


def pytest_generate_tests(metafunc):
    programs = getattr(metafunc.module, "PROGRAMS", ())
    if programs and "case" in metafunc.fixturenames:
        pairs = [(program, case) for program in programs for case in cases_of(program)]
        metafunc.parametrize(("program", "case"), pairs)
