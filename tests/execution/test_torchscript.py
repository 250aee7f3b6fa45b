"""The TorchScript backend: names, orders, datatypes, threads, and files that are none."""

import json
import subprocess
import sys

import numpy as np
import pytest

from segserve.core.errors import BackendFailed, InvalidInput, LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.execution.backend import GraphSpecs
from segserve.execution.torchscript import (
    TorchOptions,
    TorchScriptBackend,
    inspect_torchscript,
    read_sidecar,
)

FP32 = DataType.FP32
CPU2 = TorchOptions(cores=2)


def specs(inputs, outputs, dtype=FP32):
    return GraphSpecs(
        tuple(TensorSpec(name, dtype, (-1, -1)) for name in inputs),
        tuple(TensorSpec(name, dtype, (-1, -1)) for name in outputs),
    )


def a(*rows):
    return np.array(rows, np.float32)


def test_arguments_are_told_apart_by_name(write_program):
    path = write_program("def forward(self, x, y): return x - y")
    backend = TorchScriptBackend(path, specs(["y", "x"], ["d"]), CPU2)
    for wide in (False, True):
        assert backend.run({"x": a([5, 7]), "y": a([1, 2])}, wide=wide)["d"].tolist() == [[4, 5]]


def test_triton_numbers_put_tensors_in_order(write_program):
    path = write_program("def forward(self, x, y): return x - y, x + y")
    named = specs(["IN__1", "IN__0"], ["OUT__1", "OUT__0"])
    out = TorchScriptBackend(path, named, CPU2).run({"IN__0": a([5]), "IN__1": a([1])}, wide=False)
    assert {name: float(x[0, 0]) for name, x in out.items()} == {"OUT__0": 4, "OUT__1": 6}


def test_other_names_are_taken_as_listed(write_program):
    path = write_program("def forward(self, x, y): return [x - y, x + y]")
    backend = TorchScriptBackend(path, specs(["first", "second"], ["minus", "plus"]), CPU2)
    out = backend.run({"second": a([1]), "first": a([5])}, wide=False)
    assert (float(out["minus"][0, 0]), float(out["plus"][0, 0])) == (4, 6)


def test_a_dictionary_of_outputs(write_program):
    path = write_program('def forward(self, x): return {"b": x + 1, "a": x}')
    out = TorchScriptBackend(path, specs(["x"], ["a", "b"]), CPU2).run({"x": a([1])}, wide=False)
    assert (float(out["a"][0, 0]), float(out["b"][0, 0])) == (1, 2)


@pytest.mark.parametrize("dtype", [d for d in DataType if d is not DataType.BYTES])
def test_every_datatype_passes_through(write_program, dtype):
    backend = TorchScriptBackend(
        write_program("def forward(self, x): return x"), specs(["x"], ["y"], dtype), CPU2
    )
    x = np.array([[1, 0, 1]]).astype(dtype.numpy)
    y = backend.run({"x": x}, wide=False)["y"]
    assert y.dtype == dtype.numpy
    assert np.array_equal(x, y)


def test_views_and_memory_that_may_not_be_written(write_program):
    backend = TorchScriptBackend(
        write_program("def forward(self, x): return x * 2"), specs(["x"], ["y"]), CPU2
    )
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    frozen = x.copy()
    frozen.flags.writeable = False
    for given in (x.T, x[::-1, ::2], frozen):
        assert np.array_equal(backend.run({"x": given}, wide=False)["y"], np.asarray(given) * 2)


def test_threads_are_the_runs_own(write_program):
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    path = write_program("def forward(self, x): return x")
    seen = []

    class Spying(TorchScriptBackend):
        def _tensor(self, array, dtype):
            seen.append(torch.get_num_threads())
            return super()._tensor(array, dtype)

    x = {"x": a([1])}
    capped = Spying(path, specs(["x"], ["y"]), TorchOptions(cores=3))
    capped.run(x, wide=False)
    capped.run(x, wide=True)
    Spying(path, specs(["x"], ["y"]), TorchOptions(cores=3, intra_op_threads=2)).run(x, wide=True)
    assert seen == [1, 3, 2]
    torch.set_num_threads(1)


def test_failures_are_errors_of_a_kind(write_program):
    path = write_program("def forward(self, x): return x @ x")
    backend = TorchScriptBackend(path, specs(["x"], ["y"]), CPU2)
    with pytest.raises(BackendFailed, match="the model failed"):
        backend.run({"x": a([1, 2, 3])}, wide=False)
    with pytest.raises(InvalidInput, match="'x' is missing"):
        backend.run({}, wide=False)
    assert backend.run({"x": a([2])}, wide=False)["y"].tolist() == [[4]]


def test_outputs_that_are_not_as_declared(write_program):
    path = write_program("def forward(self, x): return x")
    x = {"x": a([1])}
    wrong_type = GraphSpecs(specs(["x"], []).inputs, (TensorSpec("y", DataType.INT64, (-1,)),))
    with pytest.raises(BackendFailed, match="'y' is FP32, expected INT64"):
        TorchScriptBackend(path, wrong_type, CPU2).run(x, wide=False)
    with pytest.raises(BackendFailed, match="gave 1 outputs, expected 2: y, z"):
        TorchScriptBackend(path, specs(["x"], ["y", "z"]), CPU2).run(x, wide=False)
    with pytest.raises(LoadFailed, match=r"forward takes 1 tensors \(x\), got 2"):
        TorchScriptBackend(path, specs(["x", "w"], ["y"]), CPU2)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
def test_a_corrupt_file_names_itself(tmp_path, content):
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(LoadFailed, match=r"model\.pt.*not a checkpoint"):
        TorchScriptBackend(path, specs(["x"], ["y"]), CPU2)


def test_a_device_that_is_not_there(write_program):
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    device_id = torch.cuda.device_count()
    with pytest.raises(LoadFailed, match=f"CUDA device {device_id}"):
        TorchScriptBackend(
            write_program("def forward(self, x): return x"),
            specs(["x"], ["y"]),
            TorchOptions(cores=2, device_id=device_id),
        )


@pytest.mark.gpu
def test_cuda_computes(write_program):
    path = write_program("def forward(self, x): return x + 1")
    backend = TorchScriptBackend(path, specs(["x"], ["y"]), TorchOptions(cores=2, device_id=0))
    assert backend.device == "cuda:0"
    assert backend.run({"x": a([1, 2])}, wide=False)["y"].tolist() == [[2, 3]]


def test_the_sidecar_says_what_the_tensors_are(tmp_path):
    path = tmp_path / "model.pt"
    assert read_sidecar(path) is None
    listed = {"name": "image", "datatype": "FP32", "shape": [-1, 3, -1, -1]}
    told = {"inputs": [listed], "outputs": [{**listed, "name": "logits", "datatype": "INT64"}]}
    (tmp_path / "model.json").write_text(json.dumps(told))
    expected = GraphSpecs(
        (TensorSpec("image", FP32, (-1, 3, -1, -1)),),
        (TensorSpec("logits", DataType.INT64, (-1, 3, -1, -1)),),
    )
    assert read_sidecar(path) == expected
    assert inspect_torchscript(path, specs(["other"], ["other"])) == expected


@pytest.mark.parametrize("text", ["", "[]", '{"inputs": []}', '{"inputs": 1, "outputs": 2}'])
def test_a_sidecar_that_is_none_says_what_is_expected(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(LoadFailed, match=r"model\.json: .*expected \{\"inputs\""):
        read_sidecar(tmp_path / "model.pt")


def test_without_any_word_of_its_tensors(tmp_path):
    path = tmp_path / "model.pt"
    assert inspect_torchscript(path, specs(["x"], ["y"])) == specs(["x"], ["y"])
    for nothing in (None, specs([], ["y"]), specs(["x"], [])):
        with pytest.raises(LoadFailed, match=r"list input and output.*model\.json"):
            inspect_torchscript(path, nothing)
    with pytest.raises(LoadFailed, match="'x' is BYTES, which torch does not have"):
        inspect_torchscript(path, specs(["x"], ["y"], DataType.BYTES))


def test_torch_stays_closed_until_a_model_opens():
    code = (
        "import sys, segserve.execution.torchscript; sys.exit('torch' in sys.modules or "
        "'onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
