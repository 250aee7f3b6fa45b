"""Masks and maps are decoded from whatever format came."""

import io

import numpy as np
import pytest
from PIL import Image

from segserve.client.errors import SegserveError
from segserve.client.masks import mask_to_rle
from segserve.client.result import EncodedMap, Region, Segment, SegmentResult

LABELS = np.array([[1, 1, 2], [1, 7, 2]], np.uint8)
PNG = io.BytesIO()
Image.fromarray(LABELS).save(PNG, "PNG")


def result(encoded, *, with_masks=False, regions=()):
    segments = tuple(
        Segment(n, n, f"label {n}", int((n == LABELS).sum()))
        if not with_masks
        else Segment(n, n, f"label {n}", int((n == LABELS).sum()), mask=mask_to_rle(n == LABELS))
        for n in (1, 2, 7)
    )
    return SegmentResult(
        "m", 1, "", "", 3, 2, regions=regions, segments=segments if encoded else (), map=encoded
    )


FORMATS = {
    "png": result(EncodedMap(2, 3, png=PNG.getvalue())),
    "raw": result(EncodedMap(2, 3, raw=LABELS.tobytes())),
    "raw16": result(EncodedMap(2, 3, raw=LABELS.astype("<u2").tobytes(), bytes_per_pixel=2)),
    "rle": result(EncodedMap(2, 3), with_masks=True),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_map(name):
    decoded = FORMATS[name].label_map()
    assert np.array_equal(decoded, LABELS)
    assert decoded.dtype == (np.uint16 if name == "raw16" else np.uint8)


@pytest.mark.parametrize("name", FORMATS)
def test_a_mask_for_each_segment(name):
    masks = np.stack(list(FORMATS[name].masks()))
    assert masks.dtype == bool
    assert np.array_equal(masks, np.stack([n == LABELS for n in (1, 2, 7)]))


def test_a_mask_for_each_region():
    regions = (Region((0, 0, 1, 1), 0.5, 0, "", 3, mask_to_rle(LABELS == 1)),)
    (mask,) = result(None, regions=regions).masks()
    assert np.array_equal(mask, LABELS == 1)
    assert list(result(None).masks()) == []


def test_nothing_found_is_an_empty_map():
    empty = SegmentResult("m", 1, "", "", 3, 2, map=EncodedMap(2, 3))
    assert empty.label_map(fill=0).tolist() == [[0] * 3] * 2
    assert list(empty.masks()) == []


def test_what_is_not_there_is_said():
    with pytest.raises(SegserveError, match="makes no label map"):
        result(None).label_map()
    with pytest.raises(SegserveError, match="no masks"):
        result(EncodedMap(2, 3)).label_map()
    with pytest.raises(SegserveError, match="no masks"):
        list(result(None, regions=(Region((0, 0, 1, 1), 0.5, 0, "", 3),)).masks())
    with pytest.raises(SegserveError, match="5 bytes, expected 6"):
        result(EncodedMap(2, 3, raw=bytes(5))).label_map()
    with pytest.raises(SegserveError, match="expected"):
        result(EncodedMap(2, 3, raw=bytes(24), bytes_per_pixel=4)).label_map()
