"""The ONNX Runtime backend against the contract of `Backend`."""

import threading

import numpy as np
import pytest
from onnx import TensorProto

from segserve.core.errors import InvalidInput, LoadFailed, ServiceError
from segserve.core.tensor import DataType
from segserve.execution.onnx import OnnxBackend, OnnxOptions, inspect_onnx

CPU2 = OnnxOptions(cores=2)


def test_runs_both_ways_with_one_answer(write_graph):
    backend = OnnxBackend(write_graph("Relu"), CPU2)
    x = np.array([[-1, 2, 3], [4, -5, 6]], np.float32)
    for wide in (False, True):
        assert backend.run({"x": x}, wide=wide)["y"].tolist() == [[0, 2, 3], [4, 0, 6]]
    assert backend.device == "cpu"
    assert backend.reentrant
    backend.close()


def test_specs_have_full_shapes(write_graph):
    specs = inspect_onnx(write_graph("Relu", shape=("n", 3, "h", 7)))
    assert specs.inputs[0].dims == (-1, 3, -1, 7)
    assert specs.inputs[0].dtype is DataType.FP32
    assert specs.outputs[0].name == "y"


@pytest.mark.parametrize(
    ("onnx_type", "dtype"),
    [
        (TensorProto.FLOAT, np.float32),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.UINT8, np.uint8),
        (TensorProto.INT64, np.int64),
        (TensorProto.BOOL, np.bool_),
    ],
)
def test_every_datatype_passes_through(write_graph, onnx_type, dtype):
    backend = OnnxBackend(write_graph("Identity", onnx_type), CPU2)
    x = np.array([[1, 0, 1]]).astype(dtype)
    y = backend.run({"x": x}, wide=False)["y"]
    assert y.dtype == dtype
    assert np.array_equal(x, y)


def test_strings(write_graph):
    backend = OnnxBackend(write_graph("Identity", TensorProto.STRING), CPU2)
    x = np.array([[b"a", b"\xc3\xa9", b""]], dtype=object)
    assert backend.run({"x": x}, wide=False)["y"].tolist() == [["a", "é", ""]]


def test_inputs_that_are_views_are_taken_as_they_look(write_graph):
    backend = OnnxBackend(write_graph("Relu"), CPU2)
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(backend.run({"x": base.T}, wide=False)["y"], base.T)


def test_several_threads_at_once(write_graph):
    backend = OnnxBackend(write_graph("Relu"), CPU2)
    wrong = []

    def work(n):
        x = np.full((1, 3), n, np.float32)
        got = {float(backend.run({"x": x}, wide=False)["y"][0, 0]) for _ in range(50)}
        wrong.extend(got - {float(n)})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
def test_a_corrupt_file_names_itself(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for opening in (lambda: OnnxBackend(path, CPU2), lambda: inspect_onnx(path)):
        with pytest.raises(LoadFailed, match=r"model\.onnx"):
            opening()


def test_asking_for_cuda_where_it_is_not(write_graph):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    wanted = (("CUDAExecutionProvider", {}),)
    with pytest.raises(LoadFailed, match="CUDAExecutionProvider, but what is there is"):
        OnnxBackend(write_graph("Relu"), OnnxOptions(cores=2, providers=wanted))
    options = OnnxOptions(cores=2, providers=wanted, allow_cpu_fallback=True)
    assert OnnxBackend(write_graph("Relu"), options).device == "cpu"


@pytest.mark.gpu
def test_cuda_is_really_in_use(write_graph):
    wanted = (("CUDAExecutionProvider", {"device_id": "0"}),)
    backend = OnnxBackend(write_graph("Relu"), OnnxOptions(cores=2, providers=wanted))
    assert backend.device == "cuda:0"


def test_bad_input_is_an_error_of_a_kind_and_the_model_goes_on(write_graph):
    backend = OnnxBackend(write_graph("Relu"), CPU2)
    with pytest.raises(InvalidInput):
        backend.run({"x": np.zeros((1, 4), np.float32)}, wide=False)
    with pytest.raises(ServiceError):
        backend.run({}, wide=False)
    assert backend.run({"x": np.ones((1, 3), np.float32)}, wide=True)["y"].sum() == 3


def test_configured_threads_make_one_session(write_graph):
    backend = OnnxBackend(write_graph("Relu"), OnnxOptions(cores=2, intra_op_threads=2))
    assert backend._wide is backend._narrow
