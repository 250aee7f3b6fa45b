"""Which samples a config and a family stand for."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.execution.backend import never
from segserve.repository.pbtxt import parse_config
from segserve.serving.warm_samples import warm

TENSORS = """
name: "m" max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""


class Recorder:
    def __init__(self):
        self.shapes = []

    def run(self, inputs, *, wide, stop=never):
        self.shapes.append((inputs["x"].shape, wide))

    def settle(self, inputs):
        pass


class FakeFamily:
    warm_shapes = ((16, 24), (32, 32))


def run(text, family, folder):
    backend = Recorder()
    warm(parse_config(TENSORS + text, source="c"), family, [backend], folder)
    return backend.shapes


def test_every_bucket_both_ways(tmp_path):
    shapes = run("", FakeFamily(), tmp_path)
    assert shapes == [
        ((1, 3, h, w), wide) for h, w in ((16, 24), (32, 32)) for wide in (False, True)
    ]


def test_the_size_input_holds_the_bucket(tmp_path):
    class Sizes(Recorder):
        def run(self, inputs, *, wide, stop=never):
            self.shapes.append(inputs["size"].tolist())

    text = TENSORS.replace(
        "output [", 'input [ { name: "size" data_type: TYPE_FP32 dims: [ 2 ] } ] output ['
    )
    text += 'parameters { key: "image_size_input" value { string_value: "size" } }'
    backend = Sizes()
    warm(parse_config(text, source="c"), FakeFamily(), [backend], tmp_path)
    assert backend.shapes == [[[16, 24]]] * 2 + [[[32, 32]]] * 2


def test_configured_samples(tmp_path):
    sample = 'model_warmup [ { name: "s" batch_size: 2 count: 2 inputs { key: "x" value { '
    sample += "data_type: TYPE_FP32 dims: [ 3, 4, 4 ] random_data: true } } } ]"
    assert run(sample, None, tmp_path) == [((2, 3, 4, 4), False), ((2, 3, 4, 4), True)] * 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("data_type: TYPE_FP32 dims: [ 3, -1 ] zero_data: true", "dims without -1"),
        (
            'data_type: TYPE_FP32 dims: [ 1 ] input_data_file: "../../x"',
            "cannot be opened|outside",
        ),
        (
            'data_type: TYPE_FP32 dims: [ 1 ] input_data_file: "none"',
            "warmup/none: cannot be opened",
        ),
        ('data_type: TYPE_FP32 dims: [ 2 ] input_data_file: "four"', "has 4 bytes, .* needs 8"),
    ],
)
def test_bad_samples_are_named(tmp_path, value, message):
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "four").write_bytes(b"1234")
    sample = f'model_warmup [ {{ name: "s" inputs {{ key: "x" value {{ {value} }} }} }} ]'
    place = r"^c:5: model_warmup\[0\]\.inputs\[x\]"
    with pytest.raises(LoadFailed, match=f"{place}.*({message})"):
        run(sample, None, tmp_path)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("data_type: TYPE_INT32 dims: [ 3, 8, 8 ] zero_data: true", r"INT32 \[3, 8, 8\]"),
        ("data_type: TYPE_FP32 dims: [ 4, 8, 8 ] zero_data: true", r"FP32 \[4, 8, 8\]"),
        ("data_type: TYPE_FP32 dims: [ 3, 8 ] random_data: true", r"FP32 \[3, 8\]"),
    ],
)
def test_a_sample_that_is_no_input_of_the_model(tmp_path, value, got):
    sample = f'model_warmup [ {{ name: "s" inputs {{ key: "x" value {{ {value} }} }} }} ]'
    with pytest.raises(LoadFailed, match=rf"inputs\[x\]: got {got}, expected FP32 \[3, -1, -1\]"):
        run(sample, None, tmp_path)


def test_a_sample_without_an_input(tmp_path):
    with pytest.raises(LoadFailed, match=r"^c:5: model_warmup\[0\]\.inputs: got \[\], expected x"):
        run('model_warmup { name: "s" batch_size: 1 }', None, tmp_path)


def test_a_sample_of_an_input_that_is_not_there(tmp_path):
    sample = 'model_warmup { name: "s" inputs { key: "z" value { zero_data: true } } }'
    with pytest.raises(LoadFailed, match=r"inputs\[z\]: no input .* expected one of \['x'\]"):
        run(sample, None, tmp_path)
