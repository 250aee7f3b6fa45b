"""The lattice against a slow and obvious one, with dictionaries of coordinate tuples."""

from __future__ import annotations

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.crf.lattice import (
    UNUSED_EVERY,
    bilateral_lattice,
    embedding_for,
    gaussian_lattice,
)


def slow_places(features):
    """Place features [N, d] over their sigmas; gives tuples and weights of d+1 vertices each."""
    d = features.shape[1]
    factors = [np.sqrt(2 / 3) * (d + 1) / np.sqrt((i + 1) * (i + 2)) for i in range(d)]
    places = []
    for feature in features:
        along = feature * factors
        elevated = np.array(
            [along[j:].sum() - (j * along[j - 1] if j else 0) for j in range(d + 1)]
        )
        origin = np.rint(elevated / (d + 1)) * (d + 1)
        rest = elevated - origin
        rank = np.array([sum(rest > r) + sum(rest[:i] == r) for i, r in enumerate(rest)])
        rank = rank + int(origin.sum() / (d + 1))
        origin += np.where(rank < 0, d + 1, np.where(rank > d, -(d + 1), 0))
        rank = rank % (d + 1)
        rest = np.sort((elevated - origin) / (d + 1))[::-1]
        weights = np.append(1 - rest[0] + rest[-1], rest[:-1] - rest[1:])[::-1]
        weights = np.roll(weights, 1)
        corners = [
            tuple(
                int(o) + (k if r <= d - k else k - d - 1) for o, r in zip(origin, rank, strict=True)
            )
            for k in range(d + 1)
        ]
        places.append((corners, weights))
    return places


def features_of(image, sxy, srgb):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    place = np.stack([x.ravel(), y.ravel()], axis=1) / sxy
    return np.hstack([place, image.reshape(-1, 3) / srgb])


@pytest.mark.parametrize(("sxy", "srgb"), [(80, 13), (4, 30), (7, 3)])
def test_the_same_vertices_and_weights_as_the_slow_one(sxy, srgb):
    image = np.random.default_rng(1).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    lattice = bilateral_lattice(image, sxy, srgb)
    places = slow_places(features_of(image, sxy, srgb))
    vertices = {corner for corners, _ in places for corner in corners}
    assert lattice.rows == len(vertices) + 1
    seen = {}
    for n, (corners, weights) in enumerate(places):
        for corner, row in zip(corners, lattice.corners[lattice.simplex[n]], strict=True):
            assert seen.setdefault(corner, row) == row
        ours = lattice.weights[n] / lattice.norms[n]
        np.testing.assert_allclose(np.sort(ours), np.sort(weights), atol=1e-4)
    check_neighbours(lattice, seen)


def check_neighbours(lattice, seen):
    d = len(lattice.embedding.sigmas)
    for corner, row in seen.items():
        for axis in range(d + 1):
            step = np.full(d + 1, 1)
            step[axis] -= d + 1
            first = seen.get(tuple(np.array(corner) - step), 0)
            second = seen.get(tuple(np.array(corner) + step), 0)
            assert list(lattice.pairs[axis, row]) == [first, second]


def test_neighbours_lie_no_farther_apart_than_it_says():
    image = np.random.default_rng(2).integers(0, 256, (20, 22, 3)).astype(np.uint8)
    for lattice in (bilateral_lattice(image, 20, 20), gaussian_lattice(20, 22, 2.0)):
        apart = np.abs(lattice.pairs - np.arange(lattice.rows)[:, None])
        farthest = np.where(lattice.pairs == 0, 0, apart).max(axis=(1, 2))
        np.testing.assert_array_equal(lattice.reach, farthest)
        assert farthest.max() > 0


def test_the_norm_is_that_of_filtered_ones():
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    lattice = bilateral_lattice(image, 20, 20)
    corners = lattice.corners[lattice.simplex]
    weights = lattice.weights / lattice.norms[:, None]
    values = np.zeros(lattice.rows)
    np.add.at(values, corners, weights)
    for pair in lattice.pairs:
        values = values + 0.5 * values[pair].sum(axis=1)
        values[0] = 0
    np.testing.assert_allclose(lattice.ones, values, rtol=1e-5)
    filtered = lattice.gain * (weights * values[corners]).sum(axis=1)
    np.testing.assert_allclose(lattice.norms, 1 / np.sqrt(filtered), rtol=1e-5)


def test_every_second_pixel_has_the_places_it_has_among_all():
    image = np.random.default_rng(3).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    every, second = bilateral_lattice(image, 30, 20), bilateral_lattice(image, 30, 20, step_px=2)
    whole = (every.weights / every.norms[:, None]).reshape(7, 9, 6)
    part = (second.weights / second.norms[:, None]).reshape(4, 5, 6)
    np.testing.assert_allclose(part, whole[::2, ::2], atol=1e-5)


def test_tables_grow_and_nothing_is_lost():
    image = np.random.default_rng(4).integers(0, 256, (210, 220, 3)).astype(np.uint8)
    every, second = bilateral_lattice(image, 9, 13), bilateral_lattice(image, 9, 13, step_px=2)
    assert len(every.corners) > 40_000
    assert every.rows > 40_000
    assert len(np.unique(every.keys)) == len(every.keys)
    used = np.arange(1, every.rows) % UNUSED_EVERY != 0
    np.testing.assert_array_equal(np.sort(every.numbers), np.arange(1, every.rows)[used])
    keys = []
    for lattice in (every, second):
        by_row = np.empty(lattice.rows, np.int64)
        by_row[lattice.numbers] = lattice.keys
        keys.append(by_row[lattice.corners[lattice.simplex]])
    np.testing.assert_array_equal(keys[0].reshape(210, 220, 6)[::2, ::2].reshape(-1, 6), keys[1])


def test_gaussian_lattices_are_kept():
    assert gaussian_lattice(13, 17, 3.0) is gaussian_lattice(13, 17, 3.0)
    assert gaussian_lattice(13, 17, 3.0).corners.shape[1] == 3


def test_large_gaussian_lattices_are_not_kept():
    assert gaussian_lattice(13, 17, 0.5) is not gaussian_lattice(13, 17, 0.5)
    assert gaussian_lattice(1025, 1024, 50.0) is not gaussian_lattice(1025, 1024, 50.0)


def test_keys_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInput, match="too small"):
        bilateral_lattice(np.zeros((4, 4, 3), np.uint8), 80, 1e-3)
    assert embedding_for((80, 80, 1, 1, 1), (4000, 4000, 255, 255, 255)).strides[0] == 1
