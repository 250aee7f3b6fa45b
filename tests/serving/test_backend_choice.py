"""From config to ONNX Runtime's options."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from segserve.core.errors import LoadFailed
from segserve.repository.pbtxt import parse_config
from segserve.serving.backend_choice import (
    inspect_model,
    onnx_options,
    open_backends,
    torch_options,
)


def config(text):
    return parse_config(text, source="config.pbtxt")


def parameters(**values):
    return "".join(
        f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }} ' for k, v in values.items()
    )


def test_on_a_cpu():
    options = onnx_options(config(parameters(intra_op_thread_count=3, enable_mem_arena=0)), 4, None)
    assert (options.cores, options.providers, options.intra_op_threads) == (4, (), 3)
    assert not options.enable_mem_arena
    assert options.enable_mem_pattern
    assert options.graph_level is None


def test_on_a_gpu_with_the_defaults_for_changing_shapes():
    text = (
        parameters(gpu_mem_limit=1000, cuda_fallback="cpu") + "optimization { graph { level: 1 } }"
    )
    options = onnx_options(config(text), 4, 1)
    assert options.providers == (
        (
            "CUDAExecutionProvider",
            {
                "cudnn_conv_algo_search": "HEURISTIC",
                "arena_extend_strategy": "kSameAsRequested",
                "gpu_mem_limit": "1000",
                "device_id": "1",
            },
        ),
    )
    assert options.allow_cpu_fallback
    assert options.graph_level == 1


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("0", 4)])
def test_nodes_side_by_side(given, threads):
    text = parameters(execution_mode=1, inter_op_thread_count=given)
    options = onnx_options(config(text), 4, None)
    assert (options.parallel, options.inter_op_threads) == (True, threads)
    plain = onnx_options(config(""), 4, None)
    assert (plain.parallel, plain.inter_op_threads) == (False, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (parameters(execution_mode=2), "'execution_mode' is '2'; expected 0 .* or 1"),
        (parameters(intra_op_thread_count="many"), "'intra_op_thread_count' is 'many'"),
        (
            'optimization { execution_accelerators { cpu_execution_accelerator { name: "tpu" } } }',
            "got 'tpu', expected openvino$",
        ),
        (
            'optimization {execution_accelerators {cpu_execution_accelerator {name: "cuda"}}}',
            "got 'cuda', expected openvino, which no CPU has: remove it or list it as gpu_",
        ),
    ],
)
def test_wrong_values_are_named(text, message):
    with pytest.raises(LoadFailed, match=message):
        onnx_options(config(text), 2, None)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{ kind: KIND_GPU } , { kind: KIND_CPU }", "mixes KIND_GPU and KIND_CPU"),
        ("{ kind: KIND_GPU gpus: [ 0, 1 ] }", r"devices \[0, 1\]"),
    ],
)
def test_devices_that_cannot_be_served_together(groups, message, tmp_path):
    with pytest.raises(LoadFailed, match=message):
        open_backends(config(f"instance_group [ {groups} ]"), tmp_path / "model.onnx", 2)


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("", 0),
        (parameters(intra_op_thread_count=3), 3),
        (parameters(intra_op_thread_count=3, INTRA_OP_THREAD_COUNT=2), 2),
    ],
)
def test_threads_of_torch(text, threads):
    options = torch_options(config(text), 4, None)
    assert (options.cores, options.intra_op_threads, options.device_id) == (4, threads, None)


def test_a_torchscript_model_takes_its_tensors_from_the_config(tmp_path):
    text = (
        'backend: "pytorch" max_batch_size: 8 '
        'input { name: "x" data_type: TYPE_FP32 dims: 3 } '
        'output { name: "y" data_type: TYPE_INT64 dims: [ 2, -1 ] }'
    )
    graph = inspect_model(config(text), tmp_path / "model.pt")
    assert graph.inputs[0].dims == (-1, 3)
    assert graph.outputs[0].dims == (-1, 2, -1)
    unbatched = inspect_model(config(text.replace("8", "0")), tmp_path / "model.pt")
    assert unbatched.outputs[0].dims == (2, -1)
    for told in (None, config('backend: "pytorch" input { name: "x" }')):
        with pytest.raises(LoadFailed, match="TorchScript does not say what its tensors are"):
            inspect_model(told, tmp_path / "model.pt")


def test_a_torchscript_model_s_own_shapes_are_those_of_reshape(tmp_path):
    text = (
        'backend: "pytorch" max_batch_size: 8 '
        'input { name: "x" data_type: TYPE_FP32 dims: 6 reshape { shape: [ 2, 3 ] } } '
        'output { name: "y" data_type: TYPE_FP32 dims: 1 reshape { shape: [ ] } }'
    )
    graph = inspect_model(config(text), tmp_path / "model.pt")
    assert [spec.dims for spec in (*graph.inputs, *graph.outputs)] == [(-1, 2, 3), (-1,)]
    without = config(text.replace("dims: 1 reshape { shape: [ ] }", ""))
    with pytest.raises(LoadFailed, match="list input and output with data_type and dims"):
        inspect_model(without, tmp_path / "model.pt")


def test_an_input_of_torchscript_is_never_optional(tmp_path):
    text = (
        'backend: "pytorch" input { name: "x" data_type: TYPE_FP32 dims: 3 optional: true } '
        'output { name: "y" data_type: TYPE_FP32 dims: 3 }'
    )
    assert not inspect_model(config(text), tmp_path / "model.pt").inputs[0].optional


RESHAPED = """
backend: "%s" max_batch_size: 2
input { name: "x" data_type: TYPE_FP32 dims: 6 reshape { shape: [ 2, 3 ] } }
output { name: "y" data_type: TYPE_FP32 dims: 1 reshape { shape: [ ] } }
"""


def write_sums(tmp_path, backend):
    """FP32 [n, 2, 3] to the sum of each row, [n]."""
    if backend == "pytorch":
        torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
        module = type("Program", (torch.jit.ScriptModule,), {})()
        module.define("def forward(self, x):\n    return x.sum([1, 2])\n")
        torch.jit.save(module, str(tmp_path / "model.pt"))
        return tmp_path / "model.pt"
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.filterwarnings(r"ignore:`torch\.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["onnxruntime", "pytorch"])
def test_reshaped_tensors_of_every_backend(tmp_path, kind):
    (backend,) = open_backends(config(RESHAPED % kind), write_sums(tmp_path, kind), 1)
    answer = backend.run({"x": np.arange(12, dtype=np.float32).reshape(2, 6)}, wide=False)
    assert answer["y"].tolist() == [[15], [51]]
    backend.close()
