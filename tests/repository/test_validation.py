import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.pbtxt import parse_config
from segserve.repository.validation import check_config, problems

RESHAPE = 'input { name: "x" dims: [ %s ] reshape { shape: [ %s ] } }'
BATCHING = "max_batch_size: 4 dynamic_batching { %s }"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "n"', "c:1: name: got 'n', expected 'm', the folder's name"),
        ('\nbackend: "python"', "c:2: backend: got 'python', expected one of onnxruntime"),
        ('platform: "tensorrt_plan"', "c:1: platform: got 'tensorrt_plan', expected one of onnx"),
        ('platform: "ensemble"', "c:1: platform: got an ensemble"),
        ("sequence_batching {}", "c:1: sequence_batching: models with state cannot be served"),
        ("ensemble_scheduling {}", "c:1: ensemble_scheduling: ensembles cannot be served"),
        ("max_batch_size: -1", "c:1: max_batch_size: got -1, expected 0"),
        ('input {\n dims: 0\n name: "x" }', "c:2: input[0].dims: got [0], expected -1"),
        ('output { name: "x" dims: [ 1, -2 ] }', "c:1: output[0].dims: got [1, -2], expected -1"),
        ("input {}", "c:1: input[0].name: missing"),
        ('input { name: "x" }\ninput { name: "x" }', "c:2: input[1].name: got 'x' twice"),
        (
            'input { name: "x" reshape {} }',
            "c:1: input[0].reshape: got no dims beside it",
        ),
        (RESHAPE % ("2, 3", "7"), "got [7] for dims [2, 3], expected as many elements in both"),
        (RESHAPE % ("2", ""), "got [] for dims [2], expected as many elements in both"),
        (RESHAPE % ("2, -1, 3", "-1, 6"), "as many free axes (-1) with as many elements between"),
        (RESHAPE % ("-1", "1, -1, -1"), "as many free axes (-1)"),
        (RESHAPE % ("1", "0"), "got shape [0], expected -1 (free) or numbers from 1"),
        ('backend: "classical" ' + RESHAPE % ("1", ""), "have their own shapes: drop reshape"),
        ("instance_group { count: -1 }", "c:1: instance_group[0].count: got -1, expected 1"),
        ("instance_group { gpus: -1 }", "c:1: instance_group[0].gpus: got [-1]"),
        ("instance_group { kind: KIND_CPU gpus: 0 }", "gpus: got [0] with KIND_CPU: drop"),
        ("instance_group { kind: KIND_MODEL }", "kind: got KIND_MODEL, expected KIND_AUTO"),
        (
            'backend: "classical" instance_group { kind: KIND_GPU }',
            "kind: got KIND_GPU, but models without weights run on the CPU: drop it",
        ),
        (BATCHING % "preferred_batch_size: [2, 8]", "got 8, expected 1 to max_batch_size"),
        (BATCHING % "preferred_batch_size: 0", "got 0, expected 1 to max_batch_size"),
        (BATCHING % "priority_levels: 2", "default_priority_level: got 0, expected 1 to prio"),
        (BATCHING % "priority_levels: 1000 default_priority_level: 1", "expected 0 to 100"),
        (BATCHING % "default_priority_level: 1", "got 1 without priority_levels"),
        (BATCHING % "priority_queue_policy { key: 3 value {} }", "got level 3, expected 1 to"),
        (
            BATCHING % "preserve_ordering: true priority_levels: 2 default_priority_level: 1",
            "preserve_ordering: got true with 2 priority_levels: drop one",
        ),
        (
            BATCHING % "preserve_ordering: true default_queue_policy { timeout_action: DELAY }",
            "default_queue_policy.timeout_action: got DELAY with preserve_ordering",
        ),
        (
            'max_batch_size: 4 model_warmup { name: "w" batch_size: 5 }',
            "model_warmup[0].batch_size: got 5, expected up to max_batch_size, 4",
        ),
        (
            'input { name: "x" } model_warmup { inputs { key: "y" value {} } }',
            "model_warmup[0].inputs: got 'y', expected one of the inputs: x",
        ),
        (
            'model_warmup { inputs { key: "y" value { dims: -1 } } }',
            "'y': got [-1], expected numbers from 1",
        ),
        ("version_policy { specific {} }", "specific.versions: got [], expected version numbers"),
        ("version_policy { specific { versions: 0 } }", "got [0], expected version numbers"),
    ],
)
def test_each_problem_names_line_field_got_and_expected(text, said):
    found = problems(parse_config(text, source="c"), name="m")
    assert len(found) == 1
    assert said in found[0]
    with pytest.raises(LoadFailed, match=r"^c:"):
        check_config(parse_config(text, source="c"), name="m")


@pytest.mark.parametrize(
    "text",
    [
        "",
        'name: "m" backend: "onnxruntime" platform: "onnxruntime_onnx"',
        'max_batch_size: 8 input { name: "x" dims: [ 3, -1, -1 ] } output { name: "x" dims: 1 }',
        BATCHING % "preferred_batch_size: [1, 4] priority_levels: 2 default_priority_level: 2",
        'dynamic_batching { preferred_batch_size: 8 }',
        "version_policy { specific { versions: 3 } } instance_group { kind: KIND_GPU gpus: 1 }",
    ],
)  # fmt: skip
def test_good_configs(text):
    check_config(parse_config(text, source="c"), name="m")


def test_all_problems_are_told_at_once():
    with pytest.raises(LoadFailed) as caught:
        check_config(parse_config('max_batch_size: -1\nbackend: "x"', source="c"), name="m")
    assert "c:1: max_batch_size" in caught.value.message
    assert "c:2: backend" in caught.value.message


def test_an_operator_s_name_goes_before_the_config_s():
    check_config(parse_config('name: "n"', source="c"), name="m", any_name=True)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [("1", ""), ("6", "2, 3"), ("1, 3, 1", "3"), ("-1, 6, -1", "1, -1, 2, 3, -1, 1"), ("-1", "-1")],
)
def test_a_reshape_that_keeps_every_element_is_taken(dims, shape):
    assert problems(parse_config(RESHAPE % (dims, shape), source="c"), name="m") == ()
