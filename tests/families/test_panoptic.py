"""Things and stuff on one map."""

import io

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import BackendFailed, InvalidInput, LoadFailed
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.factory import build_family
from segserve.families.panoptic import PanopticFamily
from segserve.ops import rle

HEIGHT, WIDTH = 80, 120
LABELS = ("cat", "dog", "N/A", "grass", "sky")
OUTPUTS = (
    TensorSpec("boxes", DataType.FP32, (4, 4)),
    TensorSpec("scores", DataType.FP32, (4,)),
    TensorSpec("labels", DataType.INT64, (4,)),
    TensorSpec("valid", DataType.INT64, (1,)),
    TensorSpec("masks", DataType.FP32, (4, 28, 28)),
    TensorSpec("sem_logits", DataType.FP32, (3, -1, -1)),
)
INPUT = (TensorSpec("image", DataType.FP32, (3, -1, -1)),)


def build(**parameters: str) -> PanopticFamily:
    settings = {"family": "panoptic", "logits_output": "sem_logits", "stuff_offset": "2"}
    family = build_family({**settings, **parameters}, LABELS, INPUT, OUTPUTS)
    assert isinstance(family, PanopticFamily)
    return family


@pytest.fixture
def outputs() -> dict[str, np.ndarray]:
    """A cat, a dog half on it, a dog mostly on the cat, an unsure cat; grass left, sky right."""
    logits = np.zeros((3, HEIGHT // 4, WIDTH // 4), np.float32)
    logits[1, :, : WIDTH // 8], logits[2, :, WIDTH // 8 :] = 1, 1
    boxes = [[0, 0, 40, 40], [20, 0, 60, 40], [0, 0, 40, 50], [80, 40, 100, 60]]
    return {
        "boxes": np.array(boxes, np.float32),
        "scores": np.array([0.9, 0.8, 0.7, 0.49], np.float32),
        "labels": np.array([0, 1, 1, 0]),
        "valid": np.array([4]),
        "masks": np.ones((4, 28, 28), np.float32),
        "sem_logits": logits,
    }


def found(photo, outputs, family=None, **options):
    family = family or build()
    chosen = SegmentOptions(**options)
    plan = family.plan(photo(HEIGHT, WIDTH), chosen)
    return family.postprocess(outputs, plan, chosen)


def test_things_by_score_then_free_stuff(photo, outputs) -> None:
    outputs["sem_logits"][:, :, 20:] = [[[9]], [[0]], [[0]]]  # class 0, things: never reported
    found_map = found(photo, outputs, mask_format=MaskFormat.RAW).label_map
    assert [(s.segment_id, s.label_id, s.is_thing, s.area) for s in found_map.segments] == [
        (1, 0, True, 1600),
        (2, 1, True, 800),
    ], "the second dog lies on the cat, and stuff is too small"
    assert found_map.labels[0, [0, 39, 40, 59, 60]].tolist() == [1, 1, 2, 2, 0]


def test_stuff_takes_what_is_free(photo, outputs) -> None:
    found_map = found(photo, outputs, mask_format=MaskFormat.RAW).label_map
    stuff = [s for s in found_map.segments if not s.is_thing]
    assert [(s.segment_id, s.label_id, s.area, s.score) for s in stuff] == [(3, 4, 4800, None)]
    assert found_map.labels[60, 100] == 3, "unsure things are not in the map"
    assert found_map.labels[60, 10] == 0, "2400 free pixels of grass are too few"
    assert [s.score for s in found_map.segments[1:]] == pytest.approx([0.9, 0.8])


def test_regions_are_those_before_merging(photo, outputs) -> None:
    regions = found(photo, outputs).regions
    assert regions.areas.tolist() == [1600, 1600, 2000, 400]
    assert [rle.area(mask) for mask in regions.masks] == regions.areas.tolist()


def test_masks_of_segments_do_not_overlap(photo, outputs) -> None:
    segments = found(photo, outputs).label_map.segments
    assert [rle.area(s.mask) for s in segments] == [s.area for s in segments]
    assert sum(rle.decode(s.mask) for s in segments).max() == 1


@pytest.mark.parametrize(
    ("options", "segments", "rows"),
    [
        ({"score_threshold": 0.85}, [3, 1], 1),
        ({"top_k": 1}, [3], 1),
        ({"min_area_px": 1000}, [3, 1], 3),
        ({"label_ids": (1,)}, [2], 2),
        ({"label_ids": (4,)}, [3], 0),
    ],
)
def test_options_choose_what_is_reported(photo, outputs, options, segments, rows) -> None:
    findings = found(photo, outputs, **options)
    assert [s.segment_id for s in findings.label_map.segments] == segments
    assert len(findings.regions) == rows


def test_formats(photo, outputs) -> None:
    nothing = found(photo, outputs, mask_format=MaskFormat.NONE)
    assert nothing.regions.masks == ()
    assert [s.mask for s in nothing.label_map.segments] == [None] * 3
    picture = found(photo, outputs, mask_format=MaskFormat.PNG).label_map.png
    raw = found(photo, outputs, mask_format=MaskFormat.RAW).label_map.labels
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), raw)


def test_logits_go_through_the_networks_size(photo, outputs) -> None:
    family = build(resize="longest_side:60")
    outputs["valid"][:] = 0
    outputs["sem_logits"] = outputs["sem_logits"][:, ::2, ::2]
    found_map = found(photo, outputs, family, mask_format=MaskFormat.RAW).label_map
    assert found_map.labels.shape == (HEIGHT, WIDTH)
    assert (found_map.labels == 1).sum(axis=1).tolist() == [64] * HEIGHT


def test_what_is_refused(photo, outputs) -> None:
    with pytest.raises(InvalidInput, match="stride"):
        build().plan(photo(), SegmentOptions(output_size=OutputSize.STRIDE))
    with pytest.raises(BackendFailed, match="'sem_logits' must be float"):
        found(photo, {**outputs, "sem_logits": np.zeros((3, 4), np.float32)})
    with pytest.raises(LoadFailed, match="'stuff_offset'"):
        build(stuff_offset="few")
    with pytest.raises(LoadFailed, match=r"6 lines|5 lines"):
        build(stuff_offset="4")


def test_described() -> None:
    described = build().describe()
    assert (described["kind"], described["stuff_offset"]) == ("panoptic", 2)
    assert build().image_input == "image"
    assert build(warm_sizes="64x64").warm_shapes == ((64, 64),)
