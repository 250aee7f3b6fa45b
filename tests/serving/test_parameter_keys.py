"""Keys that nobody reads."""

import pytest

from segserve.repository.pbtxt import parse_config
from segserve.serving.parameter_keys import unread_parameters

FAMILY = 'parameters { key: "family" value { string_value: "semantic" } }'
CLASSICAL = """backend: "classical"
input { name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }
input { name: "clusters" data_type: TYPE_INT32 dims: [ 1 ] optional: true }
parameters { key: "family" value { string_value: "classical" } } """


def unread(text, *keys, filename="model.onnx"):
    text += "".join(f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}' for key in keys)
    return unread_parameters(parse_config(text, source="c"), filename)


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
