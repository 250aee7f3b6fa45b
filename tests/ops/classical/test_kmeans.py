"""K-means: known answers, falling inertia, determinism, and a plain oracle."""

import itertools

import numpy as np
import pytest

from segserve.core.errors import Cancelled, InvalidInput
from segserve.ops.classical.features import pixel_features
from segserve.ops.classical.kmeans import KMeansOptions, cluster, kmeans, lloyd
from segserve.ops.classical.segmentation import never


def test_three_intensities_come_back(three_levels) -> None:
    image, truth = three_levels
    labels = kmeans(image, KMeansOptions(features="intensity", clusters=3))
    assert labels.dtype == np.int32
    assert (labels == truth).mean() > 0.999


def test_points_have_their_nearest_centre_and_inertia_is_right(noise) -> None:
    features = pixel_features(noise, "colour", 0)
    found = cluster(features, KMeansOptions(clusters=7, iterations=100))
    distances = ((features.T[:, None].astype(float) - found.centres[None]) ** 2).sum(axis=2)
    assert np.array_equal(distances.argmin(axis=1), found.labels)
    assert found.inertia[-1] == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)
    for k in range(7):
        own = features[:, found.labels == k].mean(axis=1)
        assert own == pytest.approx(found.centres[k], abs=0.5)


@pytest.mark.parametrize("dims", [1, 3, 5, 24])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 255, 257, 1024])
def test_rounds_are_those_of_a_plain_lloyd(count, dims) -> None:
    random = np.random.default_rng(count)
    points = random.integers(0, 256, (dims, count)).astype(np.float32)
    centres = points[:, random.choice(count, min(count, 6), replace=False)].T
    found = lloyd(points, np.ascontiguousarray(centres), 4, never)
    for _ in range(4):
        distances = ((points.T[:, None].astype(float) - centres[None]) ** 2).sum(axis=2)
        labels = distances.argmin(axis=1)
        centres = np.array(
            [
                points[:, labels == k].mean(axis=1) if (labels == k).any() else centres[k]
                for k in range(len(centres))
            ],
            np.float32,
        )
    assert np.array_equal(found.labels, labels)
    assert found.centres == pytest.approx(centres, rel=1e-6)
    assert found.inertia[-1] == pytest.approx(distances.min(axis=1).sum(), rel=1e-6)


def test_inertia_never_rises(noise) -> None:
    features = pixel_features(noise, "colour+position", 0.5)
    inertia = cluster(features, KMeansOptions(clusters=9, iterations=50)).inertia
    assert len(inertia) > 2
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(inertia))


def test_a_seed_gives_one_answer(noise) -> None:
    options = KMeansOptions(clusters=6, seed=5)
    assert np.array_equal(kmeans(noise, options), kmeans(noise.copy(), options))


def test_fewer_colours_than_clusters() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 3:] = 255
    labels = kmeans(image, KMeansOptions(features="colour", clusters=8))
    assert labels.tolist() == [[0, 0, 0, 1, 1, 1]] * 4


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (7, 5, 3)])
def test_a_constant_image_is_one_region(shape) -> None:
    assert not kmeans(np.full(shape, 77, np.uint8), KMeansOptions()).any()


def test_more_points_than_a_block() -> None:
    image = np.zeros((60, 70, 3), np.uint8)
    image[:, 35:] = 90
    labels = kmeans(image, KMeansOptions(features="intensity", clusters=2))
    assert np.array_equal(labels, (image[..., 0] > 0).astype(int))


def test_options_are_bounded_and_stop_is_asked(noise) -> None:
    with pytest.raises(InvalidInput, match="clusters"):
        kmeans(noise, KMeansOptions(clusters=65))
    with pytest.raises(Cancelled):
        kmeans(noise, KMeansOptions(), stop=lambda: True)
