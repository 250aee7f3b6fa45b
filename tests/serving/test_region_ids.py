"""Region ids are stable, and differ when anything that names the region differs."""

from dataclasses import replace

import numpy as np

from segserve.core.regions import Regions
from segserve.serving.region_ids import region_ids


def regions():
    return Regions(
        boxes=np.array([[0, 0, 10, 10], [5, 5, 20, 30]], np.float32),
        scores=np.array([0.9, 0.8], np.float32),
        labels=np.array([1, 1], np.int32),
        areas=np.array([100, 300], np.int64),
        masks=(),
        image_index=np.zeros(2, np.int32),
        row_splits=np.array([0, 2], np.int64),
    )


def test_equal_regions_have_equal_ids_and_each_its_own():
    first = region_ids("sha256:a", "sha256:m", regions())
    assert first == region_ids("sha256:a", "sha256:m", regions())
    assert len(set(first)) == 2
    assert all(len(i) == 32 for i in first)


def test_float_noise_keeps_an_id_and_everything_else_changes_it():
    first = region_ids("sha256:a", "sha256:m", regions())[0]
    noisy = replace(regions(), boxes=regions().boxes + np.float32(0.001))
    assert region_ids("sha256:a", "sha256:m", noisy)[0] == first
    other_label = replace(regions(), labels=np.array([2, 1], np.int32))
    others = [
        region_ids("sha256:b", "sha256:m", regions())[0],
        region_ids("sha256:a", "sha256:n", regions())[0],
        region_ids("sha256:a", "sha256:m", other_label)[0],
    ]
    assert first not in others
