"""The ONNX Runtime backend against the contract of `Backend`."""

import resource
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from segserve.core.errors import Cancelled, InvalidInput, LoadFailed, ServiceError
from segserve.core.tensor import DataType
from segserve.execution.onnx import OnnxBackend, _device, _named, inspect_onnx
from segserve.execution.onnx_settings import OnnxOptions

CPU2 = OnnxOptions(cores=2)
SEQUENCE = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)


def test_runs_both_ways_with_one_answer(write_graph):
    backend = OnnxBackend(write_graph("Relu"), CPU2)
    x = np.array([[-1, 2, 3], [4, -5, 6]], np.float32)
    for wide in (False, True):
        assert backend.run({"x": x}, wide=wide)["y"].tolist() == [[0, 2, 3], [4, 0, 6]]
    assert backend.device == "cpu"
    assert backend.reentrant
    backend.close()


@pytest.mark.parametrize("arena", [True, False])
@pytest.mark.parametrize("cores", [1, 2])
def test_settling_changes_no_answer(write_graph, arena, cores):
    options = OnnxOptions(cores=cores, enable_mem_arena=arena)
    backend = OnnxBackend(write_graph("Relu"), options)
    x = np.array([[-1, 2, 3]], np.float32)
    backend.settle({"x": x})
    for wide in (False, True):
        assert backend.run({"x": x}, wide=wide)["y"].tolist() == [[0, 2, 3]]


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
    assert backend.run({"x": x}, wide=False)["y"].tolist() == [[b"a", "é".encode(), b""]]
    parts = np.array([[memoryview(b"a"), "é", bytearray(b"c")]], dtype=object)
    assert backend.run({"x": parts}, wide=False)["y"].tolist() == [[b"a", "é".encode(), b"c"]]
    broken = np.array([[b"fine", b"\xff", b""]], dtype=object)
    with pytest.raises(InvalidInput, match="input 'x': element 1 is not UTF-8"):
        backend.run({"x": broken}, wide=False)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda g: g("Identity", TensorProto.BFLOAT16), r"'x' is a tensor\(bfloat16\).*export it"),
        (
            lambda g: g("SequenceConstruct", output=SEQUENCE),
            r"'y' is a seq\(tensor\(float\)\).*export it",
        ),
    ],
)
def test_tensors_that_no_protocol_carries_are_refused(write_graph, write, text):
    path = write(write_graph)
    with pytest.raises(LoadFailed, match=text):
        OnnxBackend(path, CPU2)
    with pytest.raises(LoadFailed, match=text):
        inspect_onnx(path)


def test_nodes_side_by_side(write_graph):
    options = OnnxOptions(cores=2, parallel=True, inter_op_threads=2)
    backend = OnnxBackend(write_graph("Relu"), options)
    assert backend.run({"x": np.ones((1, 3), np.float32)}, wide=True)["y"].sum() == 3


@pytest.mark.parametrize("level", [None, -1, 0, 1, 2, 7])
def test_every_graph_level_runs(write_graph, level):
    backend = OnnxBackend(write_graph("Relu"), OnnxOptions(cores=1, graph_level=level))
    assert backend.run({"x": np.ones((1, 3), np.float32)}, wide=False)["y"].sum() == 3


def test_tritons_numbers_become_names():
    given = {"cudnn_conv_algo_search": "0", "arena_extend_strategy": "kNextPowerOfTwo", "a": "1"}
    assert _named(given) == {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "a": "1",
    }


def test_devices_are_called_what_they_are():
    assert _device("CUDAExecutionProvider", 1) == "cuda:1"
    assert _device("TensorrtExecutionProvider", 0) == "cuda:0"
    assert _device("OpenVINOExecutionProvider", 0) == "openvino"
    assert _device("CPUExecutionProvider", 3) == "cpu"


def test_one_core_makes_one_session(write_graph):
    backend = OnnxBackend(write_graph("Relu"), OnnxOptions(cores=1))
    assert backend._wide is backend._narrow


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


def test_an_error_of_a_run_is_told_once(write_graph, capfd):
    model = write_graph("DepthToSpace", shape=("n", "c", "h", "w"), blocksize=2)
    backend = OnnxBackend(model, CPU2)
    with pytest.raises(ServiceError, match="DepthToSpace"):
        backend.run({"x": np.zeros((1, 3, 1, 1), np.float32)}, wide=True)
    assert capfd.readouterr().err == ""


def test_what_onnx_runtime_would_warn_of_is_no_line_among_ours(write_graph, capfd):
    path = write_graph("Relu")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "unused"))
    onnx.save(model, path)
    OnnxBackend(path, CPU2)
    assert capfd.readouterr().err == ""


def test_configured_threads_make_one_session(write_graph):
    backend = OnnxBackend(write_graph("Relu"), OnnxOptions(cores=2, intra_op_threads=2))
    assert backend._wide is backend._narrow


@pytest.mark.parametrize(
    ("threads", "wide", "then_wide"), [(0, True, True), (0, False, False), (1, True, False)]
)
def test_the_run_after_a_large_one_gives_its_memory_back(write_graph, threads, wide, then_wide):
    options = OnnxOptions(cores=2, intra_op_threads=threads)
    backend = OnnxBackend(write_graph("Relu", shape=("n",)), options)

    def resident_bytes():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    large = np.zeros(80 << 20, np.float32)  # 320 MiB
    backend.run({"x": large[:1]}, wide=wide)
    before_bytes = resident_bytes()
    backend.run({"x": large}, wide=wide)
    assert resident_bytes() > before_bytes + (200 << 20)
    backend.run({"x": large[:1]}, wide=then_wide)
    assert resident_bytes() < before_bytes + (100 << 20)


class StopSoon:
    """Nobody waits any more a moment after the run began; or before it did."""

    def __init__(self, after_s):
        self.gone = threading.Event()
        self.after_s = after_s

    def __call__(self):
        return self.gone.is_set()

    def tell(self, end):
        def leave():
            self.gone.set()
            end()

        if self.after_s:
            threading.Timer(self.after_s, leave).start()
        else:
            leave()


@pytest.fixture
def chain(tmp_path):
    """A model of many products of matrices, each of a few milliseconds."""
    count, size = 300, 512
    names = ["x", *(f"h{index}" for index in range(1, count)), "y"]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [size, size]) for n in "xy"]
    weights = [numpy_helper.from_array(np.eye(size, dtype=np.float32), "w")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path / "chain.onnx"
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.mark.parametrize("wide", [False, True])
def test_a_run_that_nobody_waits_for_is_ended_half_way(chain, wide):
    backend = OnnxBackend(chain, CPU2)
    x = np.random.default_rng(0).random((512, 512), np.float32)
    start_s = time.monotonic()
    backend.run({"x": x}, wide=wide)
    whole_s = time.monotonic() - start_s
    for share in (0.0, 0.2):
        start_s = time.monotonic()
        with pytest.raises(Cancelled, match="nobody waits"):
            backend.run({"x": x}, wide=wide, stop=StopSoon(share * whole_s))
        assert time.monotonic() - start_s < (share + 0.4) * whole_s
    np.testing.assert_array_equal(backend.run({"x": x}, wide=wide)["y"], x)
