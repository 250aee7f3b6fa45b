"""Label maps and proposals: sizes, order, choices."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.core.options import MaskFormat, SegmentOptions
from segserve.families.classical_answers import compact, enlarged, label_map, proposals, shrunk
from segserve.ops.rle import decode

LABELS = np.array([[0, 0, 1], [2, 2, 2]], np.uint8)


def test_compact_takes_the_smallest_type() -> None:
    assert compact(np.array([[0, 255]], np.int32)).dtype == np.uint8
    assert compact(np.array([[0, 256]], np.int32)).dtype == np.uint16
    with pytest.raises(InvalidInput, match="65537 regions"):
        compact(np.array([[0, 65536]], np.int32))


def test_enlarging_takes_the_pixel_below_the_centre() -> None:
    assert enlarged(LABELS, 4, 6).tolist() == [[0, 0, 0, 0, 1, 1]] * 2 + [[2] * 6] * 2
    assert enlarged(LABELS, 2, 3) is LABELS


def test_shrinking_averages() -> None:
    pixels = np.array([[[0, 0, 0], [100, 50, 200]]], np.uint8)
    assert shrunk(pixels, (1, 1)).tolist() == [[[50, 25, 100]]]
    assert shrunk(pixels, (1, 2)) is pixels


def test_segments_fall_by_area_and_have_their_masks() -> None:
    found = label_map(LABELS, SegmentOptions(), ())
    assert [(s.segment_id, s.area) for s in found.segments] == [(2, 3), (0, 2), (1, 1)]
    assert decode(found.segments[1].mask).tolist() == [[1, 1, 0], [0, 0, 0]]


def test_options_choose_among_segments() -> None:
    def ids(**options):
        return [s.segment_id for s in label_map(LABELS, SegmentOptions(**options), ()).segments]

    assert ids(top_k=2) == [2, 0]
    assert ids(min_area_px=2) == [2, 0]
    assert ids(label_ids=(1, 0)) == [0, 1]


def test_the_map_itself() -> None:
    raw = label_map(LABELS, SegmentOptions(mask_format=MaskFormat.RAW), ())
    assert raw.labels is LABELS
    assert raw.segments[0].mask is None
    png = label_map(LABELS, SegmentOptions(mask_format=MaskFormat.PNG), ())
    assert png.png.startswith(b"\x89PNG")


OUTPUTS = {
    "labels": LABELS.astype(np.int32),
    "boxes": np.array([[0, 0, 3, 2], [2, 0, 3, 1]], np.float32),
    "scores": np.array([1.0, 0.5], np.float32),
    "members": np.array([[True, True, True], [False, True, False]]),
}


def test_proposals_are_scaled_to_the_answer() -> None:
    regions = proposals(OUTPUTS, enlarged(LABELS, 4, 6), SegmentOptions())
    assert regions.boxes.tolist() == [[0, 0, 6, 4], [4, 0, 6, 2]]
    assert regions.areas.tolist() == [24, 4]
    assert decode(regions.masks[1])[:2, 4:].all()
    assert regions.row_splits.tolist() == [0, 2]


def test_options_choose_among_proposals() -> None:
    def count(**options):
        return len(proposals(OUTPUTS, LABELS, SegmentOptions(**options)))

    assert count(top_k=1) == 1
    assert count(score_threshold=0.6) == 1
    assert count(min_area_px=2) == 1
    assert count(label_ids=(1,)) == 0
    assert proposals(OUTPUTS, LABELS, SegmentOptions(mask_format=MaskFormat.NONE)).masks == ()
