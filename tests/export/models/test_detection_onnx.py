"""The ONNX nodes give what the plain operators give."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

import onnx  # noqa: E402  after the skip
import onnxruntime  # noqa: E402  same

from segserve.core.tensor import DataType, TensorSpec  # noqa: E402  same
from segserve.export.models.detection_ops import (  # noqa: E402  same
    nms,
    nms_mask,
    pyramid_roi_align,
    roi_align,
)
from segserve.export.models.roi_align import Pooling  # noqa: E402  same
from segserve.export.recipe import ExportConfig  # noqa: E402  same
from segserve.export.to_onnx import to_onnx  # noqa: E402  same

SHAPES = {"fine": (3, -1, -1), "coarse": (3, -1, -1), "rois": (-1, 5), "boxes": (-1, 4)}


class Everything(torch.nn.Module):
    """Each operator on inputs with a batch axis."""

    def forward(self, fine, coarse, rois, boxes, scores):
        rows = rois.reshape(-1, 5)
        levels = (rows[:, 3] - rows[:, 1] > 20).long()
        return (
            nms_mask(boxes, scores, 0.5),
            boxes[0, nms(boxes[0], scores[0], 0.5)][None],
            pyramid_roi_align([fine, coarse], rows, levels, [0.5, 0.25], Pooling(3, 0, True))[None],
            roi_align(fine, rows, 3, 0.5, 2, False)[None],
            torch.argsort(scores, dim=1, stable=True),
        )


class EverythingRecipe:
    name = "everything"

    def sample_inputs(self):
        return inputs(seed=0)

    def config(self):
        floats = (*SHAPES.items(), ("scores", (-1,)))
        outputs = (("kept", DataType.BOOL), ("best", DataType.FP32), ("pyramid", DataType.FP32),
                   ("pooled", DataType.FP32), ("order", DataType.INT64))  # fmt: skip
        return ExportConfig(
            inputs=tuple(TensorSpec(name, DataType.FP32, dims) for name, dims in floats),
            outputs=tuple(TensorSpec(name, dtype, (-1,)) for name, dtype in outputs),
            max_batch_size=8,
        )


def inputs(seed: int, batch: int = 2, count: int = 20):
    generator = np.random.default_rng(seed)

    def boxes(*shape):
        corner = generator.uniform(-5, 40, (*shape, 2))
        return np.concatenate([corner, corner + generator.uniform(0, 30, (*shape, 2))], axis=-1)

    image = np.broadcast_to(np.arange(batch)[:, None, None], (batch, 9, 1))
    scores = np.round(generator.standard_normal((batch, count)), 1)
    scores[:, ::5] = -np.inf
    arrays = {
        "fine": generator.standard_normal((batch, 3, 24, 30)),
        "coarse": generator.standard_normal((batch, 3, 24, 30)),
        "rois": np.concatenate([image, boxes(batch, 9)], axis=-1),
        "boxes": boxes(batch, count),
        "scores": scores,
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def graph() -> bytes:
    return to_onnx(Everything(), EverythingRecipe())


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_equal(graph: bytes, batch: int) -> None:
    fed = inputs(seed=batch, batch=batch)
    got = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, fed)
    expected = Everything()(*map(torch.tensor, fed.values()))
    assert 0 < got[0].sum() < got[0].size
    assert np.array_equal(got[0], expected[0].numpy())
    for array, tensor in zip(got[1:], expected[1:], strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-5)


def test_nothing_to_keep(graph: bytes) -> None:
    fed = inputs(seed=0)
    fed["scores"][:] = -np.inf
    kept, best, *_ = onnxruntime.InferenceSession(graph).run(None, fed)
    assert not kept.any()
    assert best.shape == (1, 0, 4)


def test_the_nodes_are_standard(graph: bytes) -> None:
    nodes = onnx.load_from_string(graph).graph.node
    kinds = [node.op_type for node in nodes]
    assert (kinds.count("NonMaxSuppression"), kinds.count("RoiAlign")) == (2, 3)
