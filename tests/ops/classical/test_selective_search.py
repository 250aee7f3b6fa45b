"""Selective search: an object is proposed, boxes are those of their members."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled
from segserve.ops.classical.selective_search import SelectiveSearchOptions, selective_search

OPTIONS = SelectiveSearchOptions(scale=50, min_size_px=10)


def test_an_object_is_proposed(disc) -> None:
    image, truth = disc
    found = selective_search(image, OPTIONS)
    masks = [row[found.labels] for row in found.members]
    best = max((m & truth).sum() / (m | truth).sum() for m in masks)
    assert best > 0.9


def test_boxes_are_tight_and_differ_and_the_whole_comes_first(noise) -> None:
    found = selective_search(noise, OPTIONS)
    assert found.boxes[0].tolist() == [0, 0, 50, 40]
    assert found.members[0].all()
    assert len(np.unique(found.boxes, axis=0)) == len(found.boxes) > 5
    for box, row in zip(found.boxes, found.members, strict=True):
        y, x = np.nonzero(row[found.labels])
        assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_scores_fall_from_one(noise) -> None:
    scores = selective_search(noise, OPTIONS).scores
    assert scores[0] == 1
    assert (np.diff(scores) < 0).all()
    assert scores[-1] > 0


def test_at_most_as_many_as_asked_for(noise) -> None:
    options = SelectiveSearchOptions(scale=50, min_size_px=10, proposals=3)
    assert len(selective_search(noise, options).boxes) == 3


def test_a_very_fine_segmentation_is_made_coarser() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    found = selective_search(image, SelectiveSearchOptions(scale=0, sigma_px=0, min_size_px=1))
    assert found.labels.max() < 600


def test_a_constant_image_is_one_box() -> None:
    found = selective_search(np.full((5, 6, 3), 4, np.uint8), OPTIONS)
    assert found.boxes.tolist() == [[0, 0, 6, 5]]
    assert found.members.tolist() == [[True]]


def test_stop_is_asked(noise) -> None:
    with pytest.raises(Cancelled):
        selective_search(noise, OPTIONS, stop=lambda: True)
