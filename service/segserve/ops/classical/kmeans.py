"""K-means: Lloyd's iterations from k-means++ centres, the best of several starts on a sample.

Lloyd, IEEE Trans. Information Theory 28, 1982; Arthur and Vassilvitskii, SODA 2007 (k-means++).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import FEATURES, intensity, pixel_features
from segserve.ops.classical.options import checked, choice, real, whole
from segserve.ops.classical.segmentation import (
    Floats,
    Labels,
    Stop,
    check_image,
    check_stop,
    consecutive,
    is_constant,
    never,
)

_SAMPLE = 4096
_SAMPLE_ROUNDS = 10


@dataclass(frozen=True)
class KMeansOptions:
    """Options of k-means."""

    features: str = choice(FEATURES, "what a pixel is described by")
    clusters: int = whole(5, 1, 64, "clusters")
    position_weight: float = real(0.5, 0, 10, "weight of a pixel's place, in colour ranges")
    iterations: int = whole(20, 1, 300, "rounds of Lloyd's algorithm at most")
    starts: int = whole(4, 1, 32, "seeded starts, of which the best is taken")
    seed: int = whole(0, 0, 2**31 - 1, "of the random numbers")


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    Parameters
    ----------
    labels : int32 [N]
    centres : float32 [K, D]
    inertia : tuple of float
        Sum of squared distances in every round; it never rises.
    """

    labels: npt.NDArray[np.int32]
    centres: Floats
    inertia: tuple[float, ...]


def _kernel() -> Any:
    from segserve.ops.classical import kmeans_kernel  # noqa: PLC0415  numba opens late

    return kmeans_kernel


def kmeans(image: Array, options: KMeansOptions, *, stop: Stop = never) -> Labels:
    """Cluster an image's pixels; label 0 is the darkest cluster.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between rounds.

    Returns
    -------
    labels : int32 [H, W]
        0 to K-1; K may be below `clusters` where there are fewer different pixels.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    options = checked(options)
    features = pixel_features(image, options.features, options.position_weight)
    found = cluster(features, options, stop=stop)
    return by_brightness(found.labels.reshape(image.shape[:2]), image)


def by_brightness(labels: Array, image: Array) -> Labels:
    """Give clusters numbers by the mean intensity of their pixels, from the darkest."""
    labels = consecutive(labels)
    grey = intensity(image).reshape(-1)
    counts = np.bincount(labels.reshape(-1))
    means = np.bincount(labels.reshape(-1), weights=grey) / counts
    ranks = np.empty(len(means), np.int32)
    ranks[np.argsort(means, kind="stable")] = np.arange(len(means))
    return ranks[labels]


def cluster(features: Floats, options: KMeansOptions, *, stop: Stop = never) -> Clusters:
    """Cluster points.

    Parameters
    ----------
    features : float32 [D, N]
        C-contiguous, finite.
    """
    _, found = cluster_sample(features, options, stop=stop)
    return lloyd(features, found.centres, options.iterations, stop)


def cluster_sample(
    features: Floats, options: KMeansOptions, *, stop: Stop = never
) -> tuple[Floats, Clusters]:
    """Cluster 4096 points drawn at random, or all where there are no more; the best of some starts.

    Parameters
    ----------
    features : float32 [D, N]
        Finite.

    Returns
    -------
    sample : float32 [D, at most 4096]
    clusters : Clusters
        Of the sample.
    """
    random = np.random.default_rng(options.seed)
    points = features.shape[1]
    if points > _SAMPLE:
        features = features[:, random.choice(points, _SAMPLE, replace=False)]
    sample = np.ascontiguousarray(features)
    found = [
        lloyd(sample, _spread_out(sample, options.clusters, random), _SAMPLE_ROUNDS, stop)
        for _ in range(options.starts)
    ]
    return sample, min(found, key=lambda one: one.inertia[-1])


def _spread_out(points: Floats, count: int, random: np.random.Generator) -> Floats:
    """Draw centres as k-means++ does; fewer where there are fewer different points."""
    first = int(random.integers(points.shape[1]))
    chosen = [points[:, first]]
    distances = np.full(points.shape[1], np.inf)
    while len(chosen) < count:
        distances = np.minimum(distances, ((points - chosen[-1][:, None]) ** 2).sum(axis=0))
        total = distances.sum()
        if not total > 0:
            break
        chosen.append(points[:, int(random.choice(points.shape[1], p=distances / total))])
    return np.ascontiguousarray(np.stack(chosen), dtype=np.float32)


def lloyd(features: Floats, centres: Floats, rounds: int, stop: Stop) -> Clusters:
    """Assign and average until nothing moves; an empty cluster keeps its centre.

    Parameters
    ----------
    features : float32 [D, N]
        C-contiguous, finite.
    centres : float32 [K, D]
        Where to start.
    rounds : int
        At most.
    """
    labels = np.full(features.shape[1], -1, np.int32)
    sums = np.zeros(centres.shape, np.float64)
    counts = np.zeros(len(centres), np.int64)
    inertia: list[float] = []
    for _ in range(rounds):
        check_stop(stop)
        inertia.append(
            _kernel().assign(features.reshape(-1), centres.reshape(-1), labels, sums, counts)
        )
        filled = counts[:, None] > 0
        means = np.where(filled, sums / np.maximum(counts[:, None], 1), centres)
        moved = means.astype(np.float32)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return Clusters(labels, centres, tuple(inertia))
