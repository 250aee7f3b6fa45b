"""A network that is told where in its padded input the picture lies."""

import asyncio

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from segserve.core.messages import ModelRef, RawImage, SegmentRequest
from segserve.core.options import MaskFormat, SegmentOptions

CONFIG = """
max_batch_size: 4
dynamic_batching { max_queue_delay_microseconds: 2000000 preferred_batch_size: [ 3 ] }
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "family" value { string_value: "semantic" } }
parameters { key: "image_size_input" value { string_value: "image_size" } }
parameters { key: "resize" value { string_value: "shortest_side:20,90" } }
parameters { key: "interpolation" value { string_value: "torch_bilinear" } }
parameters { key: "size_multiple" value { string_value: "32" } }
parameters { key: "warm_sizes" value { string_value: "32x32" } }
"""


def write_taller(folder):
    """Class 0 everywhere where the height exceeds the width, else class 1."""
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["blank"]),
            helper.make_node("Reshape", ["image_size", "shape"], ["sizes"]),
            helper.make_node("Add", ["blank", "sizes"], ["logits"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("image", floats, ["n", 3, "h", "w_"]),
            helper.make_tensor_value_info("image_size", floats, ["n", 2]),
        ],
        [helper.make_tensor_value_info("logits", floats, ["n", 2, "h", "w_"])],
        [
            helper.make_tensor("w", floats, [2, 3, 1, 1], [0.0] * 6),
            helper.make_tensor("shape", TensorProto.INT64, [4], [0, 2, 1, 1]),
        ],
    )
    path = folder / "taller" / "1"
    path.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "model.onnx")
    (folder / "taller" / "config.pbtxt").write_text(CONFIG)


@pytest.fixture
async def engine(open_house, repository):
    write_taller(repository)
    return (await open_house()).engine


async def label(engine, height, width):
    request = SegmentRequest(
        ModelRef("taller"),
        RawImage(np.full((height, width, 3), 99, np.uint8)),
        SegmentOptions(mask_format=MaskFormat.RAW),
    )
    answer = await engine.segment(request)
    labels = answer.label_map.labels
    assert labels.shape == (height, width)
    return np.unique(labels).tolist(), answer.batch_size


async def test_every_row_of_a_batch_has_its_own_size(engine):
    sizes = [(30, 20), (20, 30), (28, 21)]  # all are padded to 32x32, so they share a batch
    got = await asyncio.gather(*(label(engine, *size) for size in sizes))
    assert got == [([0], 3), ([1], 3), ([0], 3)]
