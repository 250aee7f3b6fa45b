"""The table of PointRend against its coarse masks: scenes at two sizes, and pasting."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra: make export-env")
onnx = pytest.importorskip("onnx", reason="needs the dev extra: make test")

from segserve.evaluation.coco_ap import average_precision  # noqa: E402
from segserve.ops.rle import area, decode  # noqa: E402
from segserve.scenes import Scene  # noqa: E402
from segserve.training import pointrend_table  # noqa: E402


def test_a_scene_at_both_sizes() -> None:
    pair = pointrend_table.draw(1)
    small, large = pair.instances
    assert pair.pixels.shape == (3, 320, 240)
    assert (small.shape, large.shape) == ((320, 240), (1280, 960))
    assert np.abs(pair.pixels).max() < 4
    assert np.mean(large[2::4, 2::4] == small) > 0.98


def test_shrinking_gives_a_shape_what_it_has_half_of() -> None:
    instances = np.zeros((4, 12), np.int32)
    instances[:2, :4] = 1  # a half
    instances[:, 4:7] = 2  # three quarters
    instances[:, 8:9] = 2  # a quarter
    scene = Scene(np.zeros((4, 12, 3), np.uint8), instances.astype(np.uint8), instances, (1, 1))
    assert pointrend_table.shrunk(scene).tolist() == [[1, 2, 0]]


def test_truths_leave_out_what_is_covered() -> None:
    instances = np.zeros((6, 8), np.int32)
    instances[1:3, 2:7] = 2
    (truth,) = pointrend_table.truths_of(instances, (5, 3), 9)
    assert (truth.image_id, truth.category_id, truth.area) == (9, 3, 10)
    assert truth.box == (2, 1, 5, 2)


def columns() -> dict[str, np.ndarray]:
    masks = np.ones((2, 7, 7), np.float32)
    masks[0, :, 4:] = 0
    return {
        "boxes": np.array([[2, 1, 9, 8], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.75, 0], np.float32),
        "labels": np.array([2, -1]),
        "valid": np.array(1),
        "masks": masks,
    }


def test_masks_are_pasted_at_either_size() -> None:
    (small,) = pointrend_table.detections_of(columns(), "masks", 1, (10, 12), 3)
    (large,) = pointrend_table.detections_of(columns(), "masks", 4, (40, 48), 3)
    assert (small.image_id, small.category_id, small.score) == (3, 3, 0.75)
    assert (small.box, large.box) == ((2, 1, 7, 7), (8, 4, 28, 28))
    assert small.mask is not None
    assert large.mask is not None
    assert area(small.mask) == 28
    assert decode(large.mask)[5:31, 9:23].all()
    assert area(large.mask) == pytest.approx(28 * 16, abs=28)


def graph(path) -> None:
    """A graph that finds nothing, whatever it is given."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    values = {
        "boxes": np.zeros((1, 2, 4), np.float32),
        "scores": np.zeros((1, 2), np.float32),
        "labels": np.full((1, 2), -1),
        "valid": np.zeros(1, np.int64),
        "masks": np.zeros((1, 2, 4, 4), np.float32),
        "coarse_masks": np.zeros((1, 2, 2, 2), np.float32),
    }
    kind = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in values.items()
    ]
    outputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in values.items()
    ]
    inputs = [
        helper.make_tensor_value_info("image", kind, [1, 3, None, None]),
        helper.make_tensor_value_info("image_size", kind, [1, 2]),
    ]
    made = helper.make_graph(nodes, "nothing", inputs, outputs)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def test_finding_nothing_scores_nothing(tmp_path) -> None:
    graph(tmp_path / "model.onnx")
    scores = pointrend_table.measure(tmp_path / "model.onnx", 1)
    assert list(scores) == [(m, t) for m in ("coarse_masks", "masks") for t in (1, 4)]
    assert {s.ap for s in scores.values()} == {0.0}


def test_the_table_has_a_line_for_each() -> None:
    pair = pointrend_table.draw(0)
    truths = pointrend_table.truths_of(pair.instances[0], pair.labels, 0)
    none = average_precision(truths, [], "mask")
    lines = pointrend_table.table({("coarse_masks", 1): none, ("masks", 4): none}).splitlines()
    assert lines[1].split() == ["coarse", "head", "320", "px", "0.0000", "0.0000", "0.0000"]
    assert lines[2].split()[:3] == ["PointRend", "1280", "px"]
