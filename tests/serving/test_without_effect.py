"""Fields that nobody honours, and keys that nobody reads."""

import pytest

from segserve.repository.pbtxt import parse_config
from segserve.serving.without_effect import without_effect

FAMILY = 'parameters { key: "family" value { string_value: "semantic" } }'
CLASSICAL = """backend: "classical"
input { name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
input { name: "clusters" data_type: TYPE_INT32 dims: [ 1 ] optional: true }
parameters { key: "family" value { string_value: "classical" } } """


def unread(text, *keys, filename="model.onnx"):
    text += "".join(f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}' for key in keys)
    return without_effect(parse_config(text, source="c"), filename, [1])


@pytest.mark.parametrize(
    ("text", "keys", "filename"),
    [
        ("", ["intra_op_thread_count", "execution_mode", "gpu_mem_limit"], "model.onnx"),
        ("", ["session.use_env_allocators", "max_exact_buckets"], "model.onnx"),
        (FAMILY, ["shape_policy", "crf_mode", "cuda_fallback"], "model.onnx"),
        ("", ["INTRA_OP_THREAD_COUNT"], "model.pt"),
        (CLASSICAL, ["clusters", "budget_ms", "max_side"], "classical.json"),
    ],
)
def test_what_somebody_reads(text, keys, filename):
    assert unread(text, *keys, filename=filename) == {}


@pytest.mark.parametrize(
    ("text", "key", "filename", "hint"),
    [
        ("", "shape_polcy", "model.onnx", ": did you mean 'shape_policy'?"),
        ("", "shape_policy", "model.onnx", ": it needs a family"),
        ("", "my.own.note", "model.onnx", ""),
        (FAMILY, "inter_op_thread_cnt", "model.onnx", ": did you mean 'inter_op_thread_count'?"),
        ("", "session.intra_op", "model.pt", ""),
        (CLASSICAL, "cluster", "classical.json", ": did you mean 'clusters'?"),
    ],
)
def test_what_nobody_reads(text, key, filename, hint):
    assert unread(text, key, filename=filename) == {f"parameters[{key}]": hint}


def test_the_bundled_models_say_nothing_in_vain(repo_root):
    configs = sorted((repo_root / "model_repository").glob("*/config.pbtxt"))
    assert configs
    for path in configs:
        assert unread(path.read_text()) == {}, path


GPUS = 'optimization { execution_accelerators { gpu_execution_accelerator { name: "cuda" } } }'
CPUS = 'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }'
ON_CPU, ON_GPU = "instance_group { kind: KIND_CPU }", "instance_group { kind: KIND_GPU }"


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        (
            "version_policy { specific { versions: [ 1, 7, 9 ] } }",
            "version_policy.specific.versions",
            ": of the versions that it names, these have no model file: 7, 9",
        ),
        (
            "max_batch_size: 0 dynamic_batching { preferred_batch_size: 4 }",
            "dynamic_batching.preferred_batch_size",
            ": the model does not batch, its max_batch_size is 0",
        ),
        (
            "dynamic_batching { max_queue_delay_microseconds: 4 }",
            "dynamic_batching.max_queue_delay_microseconds",
            ": the model does not batch, its max_batch_size is 0",
        ),
        (
            f"{GPUS} {ON_CPU}",
            "optimization.execution_accelerators.gpu_execution_accelerator",
            ": the model runs on the CPU, as instance_group says",
        ),
        (
            f"{CPUS} {ON_GPU}",
            "optimization.execution_accelerators.cpu_execution_accelerator",
            ": the model runs on the GPU, as instance_group says",
        ),
        (
            "instance_group { kind: KIND_AUTO gpus: 0 }",
            "instance_group[0].gpus",
            ": the model runs on the CPU, as instance_group says: write kind: KIND_GPU",
        ),
        ('backend: "x" runtime: "y"', "runtime", ""),
    ],
)
def test_fields_without_effect_here(text, path, hint):
    assert unread(text) == {path: hint}


@pytest.mark.parametrize(
    "text",
    [
        "version_policy { specific { versions: [ 1 ] } }",
        "version_policy { latest { num_versions: 3 } }",
        "max_batch_size: 8 dynamic_batching { preferred_batch_size: 4 }",
        "dynamic_batching { preserve_ordering: true }",
        GPUS,
        f"{GPUS} {ON_GPU}",
        f"{GPUS} instance_group {{ kind: KIND_AUTO gpus: 1 }}",
        "instance_group { kind: KIND_GPU gpus: 1 }",
        f"{CPUS} {ON_CPU}",
    ],
)
def test_fields_that_have_an_effect(text):
    assert unread(text) == {}
