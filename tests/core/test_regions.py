"""Regions and RLE."""

import numpy as np

from segserve.core.regions import Regions, Rle


def test_coco_form():
    assert Rle(2, 3, b"06").to_coco() == {"size": [2, 3], "counts": "06"}


def test_length_counts_instances():
    regions = Regions(
        boxes=np.zeros((2, 4), np.float32),
        scores=np.zeros(2, np.float32),
        labels=np.zeros(2, np.int32),
        areas=np.zeros(2, np.int64),
        masks=(),
        image_index=np.zeros(2, np.int32),
        row_splits=np.array([0, 2]),
    )
    assert len(regions) == 2
