"""Scenes are the same everywhere, for ever, and their truth is consistent."""

import hashlib

import numpy as np
import pytest

from segserve.scenes import CLASS_NAMES, make_scene


def test_equal_arguments_give_equal_bytes():
    first, second = make_scene(7, 60, 80), make_scene(7, 60, 80)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.image, make_scene(8, 60, 80).image)


def test_the_truth_of_a_seed_does_not_change():
    scene = make_scene(1, 240, 320)
    assert hashlib.sha256(scene.labels.tobytes()).hexdigest()[:16] == "a32f9de471473a37"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 400), (400, 17), (240, 320)])
def test_sizes_and_types(height, width):
    scene = make_scene(3, height, width)
    assert scene.image.shape == (height, width, 3)
    assert (scene.image.dtype, scene.labels.dtype) == (np.uint8, np.uint8)
    assert scene.labels.shape == scene.instances.shape == (height, width)


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match="0x5"):
        make_scene(0, 0, 5)


def test_instances_carry_their_labels():
    for seed in range(12):
        scene = make_scene(seed, 96, 128)
        table = np.array([0, *scene.instance_labels])
        assert np.array_equal(table[scene.instances], scene.labels)


def test_every_class_occurs_and_background_is_seen():
    seen = np.zeros(len(CLASS_NAMES), int)
    for seed in range(60):
        seen += np.bincount(make_scene(seed, 48, 64).labels.ravel(), minlength=len(CLASS_NAMES)) > 0
    assert (seen >= 15).all(), seen


def test_photographs_serve_as_backgrounds():
    photograph = np.full((50, 70, 3), 200, np.uint8)
    means = [make_scene(s, 64, 64, backgrounds=[photograph]).image.mean() for s in range(12)]
    plain = [make_scene(s, 64, 64).image.mean() for s in range(12)]
    assert sum(abs(a - b) > 1 for a, b in zip(means, plain, strict=True)) >= 3
