import pytest

from segserve.core.errors import LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.repository.autocomplete import ModelSpecs, complete
from segserve.repository.model_config import TensorReshape
from segserve.repository.pbtxt import config_from_json, parse_config

FREE = ModelSpecs(
    (TensorSpec("image", DataType.FP32, (-1, 3, -1, -1)),),
    (
        TensorSpec("logits", DataType.FP32, (-1, 21, -1, -1)),
        TensorSpec("extra", DataType.INT64, (-1,)),
    ),
)
FIXED = ModelSpecs(
    (TensorSpec("image", DataType.FP32, (1, 3, 224, 224)),),
    (TensorSpec("logits", DataType.FP32, (1, 21)),),
)


def completed(text, graph=FREE):
    return complete(parse_config(text, source="c") if text is not None else None, "m", graph)


def test_no_config_at_all():
    config = completed(None)
    assert (config.name, config.backend, config.platform) == (
        *("m", "onnxruntime"),
        "onnxruntime_onnx",
    )
    assert config.default_model_filename == "model.onnx"
    assert config.version_policy.latest.num_versions == 1
    assert config.max_batch_size == 4
    assert config.dynamic_batching is not None
    assert config.input_specs() == (TensorSpec("image", DataType.FP32, (3, -1, -1)),)
    assert config.output_specs() == (
        TensorSpec("logits", DataType.FP32, (21, -1, -1)),
        TensorSpec("extra", DataType.INT64, (1,)),
    )
    assert config.output[1].reshape == TensorReshape()  # as Triton's onnxruntime backend has it


def test_a_reshape_is_compared_with_the_model():
    config = completed('output { name: "extra" dims: 1 reshape { } }')
    assert config.max_batch_size == 4
    assert (config.output[0].dims, config.output[0].reshape) == ((1,), TensorReshape())
    config = completed(
        'input { name: "image" dims: [ -1, -1, 3 ] reshape { shape: [ 3, -1, -1 ] } }'
    )
    assert config.input[0].dims == (-1, -1, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('output { name: "extra" dims: 1 }', "write dims: [ 1 ] reshape { shape: [ ] }"),
        (
            'output { name: "extra" dims: 2 reshape { shape: 2 } }',
            "output[0].reshape.shape: 'extra': got [2], expected [] (without the batch axis",
        ),
        (
            'output { name: "logits" dims: 4 reshape { shape: 4 } }',
            "write reshape { shape: [21, -1, -1] }",
        ),
        (
            '\noutput {\n name: "extra"\n dims: [ ] }',
            "got [], expected one value of each row (without the batch axis, since",
        ),
        ('\noutput { name: "extra"\n dims: [ ] }', "c:3: output[0].dims: 'extra': got []"),
        ('output { name: "extra" dims: [ ] }', "write dims: [ 1 ] reshape { shape: [ ] }"),
        ('output { name: "logits" dims: [ ] }', "write dims: [21, -1, -1]"),
    ],
)
def test_another_shape_than_the_models_is_refused_with_the_line_to_write(text, said):
    with pytest.raises(LoadFailed) as caught:
        completed(f"max_batch_size: 2 {text}")
    assert said in caught.value.message


def test_one_value_of_each_row_needs_its_reshape_where_batching_is_left_to_the_model():
    with pytest.raises(LoadFailed, match=r"write dims: \[ 1 \] reshape \{ shape: \[ \] \}"):
        completed('output { name: "extra" dims: 1 }')
    assert completed('output { name: "extra" dims: -1 }').max_batch_size == 0
    assert completed('max_batch_size: 0 output { name: "extra" dims: 1 }').output[0].dims == (1,)


@pytest.mark.parametrize("dims", ["", "dims: [ ]", "dims: [ 1 ] reshape { shape: [ ] }"])
def test_scalars_of_a_model_that_does_not_batch(dims):
    graph = ModelSpecs((*FIXED.inputs, TensorSpec("k", DataType.INT64, ())), FIXED.outputs)
    config = completed(f'input {{ name: "image" }} input {{ name: "k" {dims} }}', graph)
    assert config.max_batch_size == 0
    assert config.input_specs()[1].dims == ((1,) if "1" in dims else ())
    with pytest.raises(LoadFailed, match=r"got \[1\], expected \[\] \(in full; .*write dims: \[ 1"):
        completed('input { name: "image" } input { name: "k" dims: 1 }', graph)


def test_a_fixed_first_axis_does_not_batch():
    config = completed(None, FIXED)
    assert (config.max_batch_size, config.dynamic_batching) == (0, None)
    assert config.input_specs()[0].dims == (1, 3, 224, 224)


def test_one_scalar_among_the_tensors_does_not_batch():
    graph = ModelSpecs((*FREE.inputs, TensorSpec("k", DataType.INT64, ())), FREE.outputs)
    assert completed(None, graph).max_batch_size == 0


@pytest.mark.parametrize(
    ("text", "size", "batching"),
    [
        ("", 4, True),
        ("max_batch_size: 16", 16, True),
        ("max_batch_size: 1", 1, False),
        ("max_batch_size: 1 dynamic_batching {}", 1, True),
        ("max_batch_size: 0", 0, False),
        ('input { name: "image" dims: [ -1, 3, -1, -1 ] }', 0, False),
        ('input { name: "image" dims: [ 3, -1, -1 ] }', 4, True),
        ('output { name: "logits" }', 4, True),
    ],
)
def test_batching_is_filled_in(text, size, batching):
    config = completed(text)
    assert config.max_batch_size == size
    assert (config.dynamic_batching is not None) == batching


def test_a_written_zero_counts_in_json_too():
    assert complete(config_from_json('{"max_batch_size": 0}'), "m", FREE).max_batch_size == 0


def test_what_is_written_stays_and_may_narrow_the_model():
    config = completed(
        'input { name: "image" dims: [ 3, 480, -1 ] format: FORMAT_NCHW } '
        'output { name: "logits" label_filename: "l.txt" }'
    )
    assert config.input_specs() == (TensorSpec("image", DataType.FP32, (3, 480, -1)),)
    assert [output.name for output in config.output] == ["logits"]
    assert config.output[0].label_filename == "l.txt"
    assert config.output[0].data_type is DataType.FP32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'input {\n name: "image"\n optional: true }',
            (
                "c:3: input[0].optional: 'image': got true, but the model cannot run without it: "
                "drop optional"
            ),
        ),
        (
            'input {\n name: "image"\n data_type: TYPE_UINT8 }',
            (
                "c:3: input[0].data_type: 'image': got TYPE_UINT8, expected TYPE_FP32: write "
                "data_type: TYPE_FP32"
            ),
        ),
        (
            'max_batch_size: 2\ninput { name: "image"\n dims: [ 4, -1, -1 ] }',
            (
                "c:3: input[0].dims: 'image': got [4, -1, -1], expected [3, -1, -1] (without the "
                "batch axis, since the model batches; the model's shape is [-1, 3, -1, -1]): write "
                "dims: [3, -1, -1]"
            ),
        ),
        (
            'max_batch_size: 2 input { name: "image" dims: [ -1, 3, -1, -1 ] }',
            "got [-1, 3, -1, -1], expected [3, -1, -1]",
        ),
        (
            'max_batch_size: 2 input { name: "image" dims: [ -1, -1, -1 ] }',
            "got [-1, -1, -1], expected [3, -1, -1]",
        ),
        (
            'max_batch_size: 0 input { name: "image" dims: [ 3, -1, -1 ] }',
            "expected [-1, 3, -1, -1] (in full;",
        ),
        (
            'input { name: "imgae" }',
            (
                "c:1: input[0].name: got 'imgae', expected one of the model's inputs: image: write "
                'name: "image"'
            ),
        ),
        (
            'output { name: "logits" }\noutput { name: "masks" }',
            "c:2: output[1].name: got 'masks', expected one of the model's outputs: logits, extra",
        ),
    ],
)
def test_contradictions_name_line_field_got_expected_and_fix(text, said):
    with pytest.raises(LoadFailed) as caught:
        completed(text)
    assert said in caught.value.message


def test_batching_a_model_that_cannot():
    with pytest.raises(LoadFailed) as caught:
        completed("\nmax_batch_size: 8", FIXED)
    assert caught.value.message.startswith(
        "c:2: max_batch_size: got 8, expected 0: the model's tensor 'image' has shape "
        "[1, 3, 224, 224]"
    )


def test_a_missing_input():
    graph = ModelSpecs((*FREE.inputs, TensorSpec("size", DataType.INT64, (-1, 2))), FREE.outputs)
    with pytest.raises(LoadFailed, match="got 1 of the model's 2 inputs, expected also size"):
        completed('input { name: "image" }', graph)


def test_it_is_stable_and_round_trips():
    config = completed(None)
    assert complete(config, "m", FREE) == config
    assert config.to_proto().input[0].dims == [3, -1, -1]


@pytest.mark.parametrize(
    ("text", "filename", "expected"),
    [
        (None, "model.pt", ("pytorch", "pytorch_libtorch", "model.pt")),
        ('backend: "pytorch"', "model.pt", ("pytorch", "pytorch_libtorch", "model.pt")),
        ('platform: "pytorch_libtorch"', "m", ("pytorch", "pytorch_libtorch", "model.pt")),
        ('backend: "onnxruntime"', "model.pt", ("onnxruntime", "onnxruntime_onnx", "model.onnx")),
        (
            'backend: "pytorch" default_model_filename: "a.bin"',
            *("a.bin", ("pytorch", "pytorch_libtorch", "a.bin")),
        ),
    ],
)
def test_the_backend_is_what_the_config_says_or_else_the_file(text, filename, expected):
    config = complete(parse_config(text, source="c") if text else None, "m", FREE, filename)
    assert (config.backend, config.platform, config.default_model_filename) == expected
