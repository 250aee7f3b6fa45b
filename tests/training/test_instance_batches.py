"""Batches with objects apart."""

import numpy as np
import pytest

from segserve.scenes import CLASS_NAMES, make_scene
from segserve.training.instance_batches import ObjectBank


@pytest.fixture(scope="module")
def bank():
    return ObjectBank.draw(5, 4, ())


def test_equal_seeds_give_equal_batches_of_the_served_sizes(bank):
    shapes = set()
    for seed in range(12):
        (first, one), (second, other) = (
            bank.batch(np.random.default_rng(seed), 2) for _ in range(2)
        )
        assert np.array_equal(first, second)
        assert all(np.array_equal(a.masks, b.masks) for a, b in zip(one, other, strict=True))
        assert first.dtype == np.float32
        assert np.abs(first).max() < 4
        shapes.add(first.shape[2:])
    assert shapes == {(240, 320), (320, 240), (320, 320)}


def test_objects_are_what_the_scene_shows(bank):
    scene = make_scene(5, 240, 320)
    visible = {
        (label - 1, int((scene.instances == n).sum()))
        for n, label in enumerate(scene.instance_labels, 1)
        if (scene.instances == n).sum() >= 60
    }
    seen = [
        {(int(c), int(m.sum())) for c, m in zip(o.classes, o.masks, strict=True)}
        for seed in range(40)
        for o in bank.batch(np.random.default_rng(seed), 1)[1]
    ]
    assert visible in seen
    assert all(0 <= c < len(CLASS_NAMES) - 1 for objects in seen for c, _ in objects)


def test_boxes_are_tight(bank):
    (objects,) = bank.batch(np.random.default_rng(1), 1)[1]
    for box, mask in zip(objects.boxes.astype(int), objects.masks, strict=True):
        x1, y1, x2, y2 = box
        assert mask[y1:y2, x1:x2].sum() == mask.sum()
        assert mask[y1].any()
        assert mask[y2 - 1].any()
        assert mask[:, x1].any()
        assert mask[:, x2 - 1].any()


def test_padding_is_zero_and_empty(bank):
    for seed in range(20):
        images, (objects,) = bank.batch(np.random.default_rng(seed), 1)
        if images.shape[2:] == (320, 320):
            padding = (images[0] == 0).all(axis=0)
            assert padding[:, 240:].all() or padding[240:].all()
            assert not (objects.masks & padding).any()
            return
    pytest.fail("no padded batch in twenty")
