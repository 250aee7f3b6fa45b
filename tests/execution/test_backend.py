"""One contract for every backend that runs model files: y = max(x, 0) over FP32 [n, 3]."""

import threading

import numpy as np
import pytest

from segserve.core.errors import LoadFailed, ServiceError
from segserve.core.tensor import DataType, TensorSpec
from segserve.execution.backend import GraphSpecs

SPECS = GraphSpecs(
    (TensorSpec("x", DataType.FP32, (-1, 3)),), (TensorSpec("y", DataType.FP32, (-1, 3)),)
)
PROGRAM = """
def forward(self, x):
    assert x.shape[1] == 3, "x is [n, 3]"
    return x.relu()
"""


def open_onnx(request, content):
    from segserve.execution.onnx import OnnxBackend
    from segserve.execution.onnx_settings import OnnxOptions

    path = request.getfixturevalue("write_graph")("Relu")
    if content is not None:
        path.write_bytes(content)
    return OnnxBackend(path, OnnxOptions(cores=2))


def open_torchscript(request, content):
    from segserve.execution.torchscript import TorchOptions, TorchScriptBackend

    path = request.getfixturevalue("write_program")(PROGRAM)
    if content is not None:
        path.write_bytes(content)
    return TorchScriptBackend(path, SPECS, TorchOptions(cores=2))


@pytest.fixture(params=[open_onnx, open_torchscript], ids=["onnx", "torchscript"])
def open_backend(request):
    """Opens the model; with other bytes in its file when given some."""
    opened = []

    def start(content=None):
        opened.append(request.param(request, content))
        return opened[-1]

    yield start
    for backend in opened:
        backend.close()


def test_it_says_what_it_is(open_backend):
    backend = open_backend()
    assert [s.name for s in backend.specs.inputs] == ["x"]
    assert backend.specs.inputs[0].dims == (-1, 3)
    assert backend.specs.outputs[0].dtype is DataType.FP32
    assert backend.device == "cpu"
    assert backend.reentrant


def test_both_widths_and_any_batch_give_one_answer(open_backend):
    backend = open_backend()
    for rows in (1, 2, 5):
        x = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
        for wide in (False, True):
            out = backend.run({"x": x}, wide=wide)
            assert list(out) == ["y"]
            assert out["y"].dtype == np.float32
            assert np.array_equal(out["y"], np.maximum(x, 0))


def test_inputs_stay_as_they_are_and_outputs_are_not_theirs(open_backend):
    backend = open_backend()
    x = np.array([[-1, 2, 3]], np.float32)
    first = backend.run({"x": x}, wide=False)["y"]
    second = backend.run({"x": x + 1}, wide=False)["y"]
    assert x.tolist() == [[-1, 2, 3]]
    assert first.tolist() == [[0, 2, 3]]
    assert second.tolist() == [[0, 3, 4]]


def test_settling_changes_no_answer(open_backend):
    backend = open_backend()
    x = np.array([[-1, 2, 3]], np.float32)
    backend.settle({"x": x})
    assert backend.run({"x": x}, wide=True)["y"].tolist() == [[0, 2, 3]]


def test_several_threads_at_once(open_backend):
    backend = open_backend()
    wrong = []

    def work(n):
        x = np.full((1, 3), n, np.float32)
        got = {float(backend.run({"x": x}, wide=bool(n % 2))["y"][0, 0]) for _ in range(30)}
        wrong.extend(got - {float(n)})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_fails_is_an_error_of_a_kind_and_the_model_goes_on(open_backend):
    backend = open_backend()
    for inputs in ({"x": np.zeros((1, 4), np.float32)}, {}):
        with pytest.raises(ServiceError):
            backend.run(inputs, wide=False)
    assert backend.run({"x": np.ones((1, 3), np.float32)}, wide=True)["y"].sum() == 3


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_corrupt_file_names_itself(open_backend, content):
    with pytest.raises(LoadFailed, match=r"Relu\.onnx|model\.pt"):
        open_backend(content)
