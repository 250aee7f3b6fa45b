import json

import pytest

from segserve.core.tensor import DataType, TensorSpec
from segserve.export.catalogue import RECIPES, find_recipe
from segserve.export.config_text import config_text, sidecar_text
from segserve.export.recipe import ExportConfig

EXPECTED = """\
name: "vainf_deeplabv3plus_resnet50_os16"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ 21, -1, -1 ] } ]
dynamic_batching { }
parameters { key: "family" value { string_value: "semantic" } }
parameters { key: "channel_order" value { string_value: "rgb" } }
parameters { key: "scale" value { string_value: "1/255" } }
parameters { key: "mean" value { string_value: "0.485,0.456,0.406" } }
parameters { key: "std" value { string_value: "0.229,0.224,0.225" } }
parameters { key: "resize" value { string_value: "none" } }
parameters { key: "shape_policy" value { string_value: "exact" } }
"""


def test_the_whole_text() -> None:
    recipe = find_recipe("deeplabv3plus_resnet50")
    assert config_text(recipe.name, recipe.config()) == EXPECTED


def test_quotes_and_text_tensors() -> None:
    spec = TensorSpec('a"b', DataType.BYTES, (1,))
    text = config_text("m", ExportConfig((spec,), (spec,), 1, {"k": 'x\\"\n'}))
    assert r'input [ { name: "a\"b" data_type: TYPE_STRING dims: [ 1 ] } ]' in text
    assert r'string_value: "x\\\"\n"' in text


def test_one_number_of_an_image_has_no_dims_in_the_graph_and_one_in_the_config() -> None:
    spec = TensorSpec("valid", DataType.INT64, ())
    config = ExportConfig((), (spec,), 2)
    line = 'output [ { name: "valid" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } } ]'
    assert line in config_text("m", config).splitlines()
    assert config.served_outputs == (TensorSpec("valid", DataType.INT64, (1,)),)
    told = json.loads(sidecar_text(config))["outputs"]
    assert told == [{"name": "valid", "datatype": "INT64", "shape": [-1]}]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_server_reads_back_what_was_meant(recipe) -> None:
    pbtxt = pytest.importorskip("segserve.repository.pbtxt", exc_type=ImportError)
    meant = recipe.config()
    read = pbtxt.parse_config(config_text("other", meant), source="config.pbtxt")
    assert (read.name, read.max_batch_size) == ("other", meant.max_batch_size)
    assert dict(read.parameters) == dict(meant.parameters)
    assert read.input_specs() == meant.inputs
    assert read.output_specs() == meant.served_outputs
    assert read.dynamic_batching is not None
