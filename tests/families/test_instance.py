"""A detector's columns in, regions out, with every option."""

import numpy as np
import pytest

from segserve.core.errors import BackendFailed, InvalidInput
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.regions import Regions
from segserve.families.family import Family
from segserve.ops import rle

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    """Rows 0 to 3 are boxes of 100, 200, 300 and 400 pixels; row 4 is padding."""
    return {
        "boxes": np.array(
            [[0, 0, 10, 10], [0, 0, 20, 10], [10, 10, 40, 20], [20, 0, 60, 10], [0, 0, 60, 40]],
            np.float32,
        ),
        "scores": np.array([0.5, 0.9, 0.9, 0.2, 0.99], np.float32),
        "labels": np.array([1, 2, 1, 2, 1]),
        "valid": np.array([4]),
        "masks": np.ones((5, 28, 28), np.float32),
    }


def found(family: Family, photo, outputs, **options) -> Regions:
    chosen = SegmentOptions(**options)
    plan = family.plan(photo(HEIGHT, WIDTH), chosen)
    regions = family.postprocess(outputs, plan, chosen).regions
    assert regions is not None
    return regions


def test_rows_by_score_then_row(instance, photo, rows) -> None:
    regions = found(instance(), photo, rows)
    assert regions.areas.tolist() == [200, 300, 100, 400]
    assert regions.labels.tolist() == [2, 1, 1, 2]
    assert regions.scores.tolist() == pytest.approx([0.9, 0.9, 0.5, 0.2])
    assert regions.row_splits.tolist() == [0, 4]
    assert regions.image_index.tolist() == [0] * 4
    for box, mask, area in zip(regions.boxes, regions.masks, regions.areas, strict=True):
        assert rle.to_bbox(mask) == tuple(box)
        assert rle.area(mask) == area
    dtypes = [regions.boxes, regions.scores, regions.labels, regions.areas, regions.row_splits]
    assert [a.dtype.name for a in dtypes] == ["float32", "float32", "int32", "int64", "int64"]


@pytest.mark.parametrize(
    ("options", "areas"),
    [
        ({"score_threshold": 0.5}, [200, 300, 100]),
        ({"score_threshold": 0.0}, [200, 300, 100, 400]),
        ({"score_threshold": 1.0}, []),
        ({"top_k": 2}, [200, 300]),
        ({"top_k": 0}, []),
        ({"min_area_px": 300}, [300, 400]),
        ({"min_area_px": 300, "top_k": 1}, [300]),
        ({"label_ids": (2,)}, [200, 400]),
        ({"label_ids": ()}, []),
    ],
)
def test_options(instance, photo, rows, options, areas: list[int]) -> None:
    regions = found(instance(), photo, rows, **options)
    assert regions.areas.tolist() == areas
    assert len(regions.masks) == len(regions) == len(areas)


def test_a_request_only_raises_the_models_threshold(instance, photo, rows) -> None:
    family = instance(score_threshold="0.5")
    assert found(family, photo, rows, score_threshold=0.1).areas.tolist() == [200, 300, 100]
    assert found(family, photo, rows, score_threshold=0.6).areas.tolist() == [200, 300]


def test_ignored_labels(instance, photo, rows) -> None:
    assert found(instance(ignore_ids="2"), photo, rows).areas.tolist() == [300, 100]


def test_without_masks(instance, photo, rows) -> None:
    regions = found(instance(), photo, rows, mask_format=MaskFormat.NONE)
    assert regions.masks == ()
    assert regions.areas.tolist() == [200, 300, 100, 400]


def test_boxes_come_back_to_the_source(instance, photo, rows) -> None:
    family = instance(resize="longest_side:120", shape_policy="pad", buckets="120x120")
    rows["boxes"] *= 2  # 40x60 is 80x120 in the network
    regions = found(family, photo, rows)
    assert regions.areas.tolist() == [200, 300, 100, 400]
    assert regions.boxes[1].tolist() == [10, 10, 40, 20]


def test_boxes_are_cut_at_the_border(instance, photo, rows) -> None:
    rows["boxes"][1] = [-10, -10, 90, 10]
    regions = found(instance(), photo, rows, top_k=1)
    assert regions.boxes.tolist() == [[0, 0, 60, 10]]


def test_valid_may_be_missing(instance, photo, rows) -> None:
    del rows["valid"]
    assert len(found(instance(), photo, rows)) == 5


def test_nothing_found(instance, photo, rows) -> None:
    rows["valid"][:] = 0
    regions = found(instance(), photo, rows)
    assert len(regions) == 0
    assert regions.boxes.shape == (0, 4)
    assert regions.row_splits.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "shape"), [("boxes", (5, 5)), ("labels", (4,)), ("masks", (5, 28)), ("valid", (5,))]
)
def test_columns_that_do_not_fit_are_the_models_fault(instance, photo, rows, name, shape) -> None:
    rows[name] = np.zeros(shape, rows[name].dtype)
    with pytest.raises(BackendFailed, match=f"output '{name}'"):
        found(instance(), photo, rows)


@pytest.mark.parametrize(
    ("valid", "says"),
    [
        (np.array([True]), r"bool \[1\]"),
        (np.array(4), r"int64 \[\]"),
        (np.array([6]), "6"),
        (np.array([-1]), "-1"),
    ],
)
def test_a_count_that_is_none_is_the_models_fault(instance, photo, rows, valid, says) -> None:
    with pytest.raises(BackendFailed, match=rf"output 'valid' must be .*got {says}"):
        found(instance(), photo, {**rows, "valid": valid})


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_rows_past_the_count_are_padding(instance, photo, rows, count: int) -> None:
    rows["valid"][:] = count
    regions = found(instance(), photo, rows)
    scores = rows["scores"][:count]
    assert regions.scores.tolist() == sorted(scores.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (SegmentOptions(mask_format=MaskFormat.PNG), "mask_format=png"),
        (SegmentOptions(mask_format=MaskFormat.RAW), "mask_format=raw"),
        (SegmentOptions(output_size=OutputSize.STRIDE), "output_size=stride"),
        (SegmentOptions(label_ids=(3,)), r"0\.\.2, got 3"),
    ],
)
def test_options_that_do_not_apply(instance, photo, options, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        instance().plan(photo(), options)


def test_the_graphs_suppression_is_told(instance) -> None:
    family = instance(nms="greedy", nms_iou_threshold="0.6")
    assert family.describe()["nms"] == {"type": "greedy", "iou_threshold": 0.6}
    assert instance().describe()["nms"] is None


def test_preprocess_is_the_shared_half(instance, photo) -> None:
    plan = instance().plan(photo(), SegmentOptions())
    out = {"image": np.full((3, 40, 60), np.nan, np.float32)}
    instance().preprocess(photo(), plan, out)
    assert np.isfinite(out["image"]).all()
