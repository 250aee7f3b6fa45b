"""Gaussian mixtures by expectation and maximisation, full covariances, started from k-means.

Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977; Bishop, Pattern Recognition and Machine
Learning, section 9.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import FEATURES, pixel_features
from segserve.ops.classical.kmeans import Clusters, KMeansOptions, by_brightness, cluster
from segserve.ops.classical.options import checked, choice, real, whole
from segserve.ops.classical.segmentation import (
    Floats,
    Labels,
    Stop,
    check_image,
    check_stop,
    is_constant,
    never,
)

_MAX_DIMS = 8
_START_ROUNDS = 10


@dataclass(frozen=True)
class GmmOptions:
    """Options of the Gaussian mixture."""

    features: str = choice(FEATURES, "what a pixel is described by")
    clusters: int = whole(5, 1, 32, "Gaussians")
    position_weight: float = real(0.5, 0, 10, "weight of a pixel's place, in colour ranges")
    iterations: int = whole(20, 1, 300, "rounds of EM at most")
    tolerance: float = real(1e-4, 0, 1, "mean log likelihood per pixel that a round must gain")
    floor: float = real(1.0, 1e-3, 1e3, "added to every variance, in squared grey levels")
    seed: int = whole(0, 0, 2**31 - 1, "of the random numbers")


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture of K Gaussians in D dimensions.

    Parameters
    ----------
    shares : float64 [K]
        They add up to 1.
    means : float64 [K, D]
    covariances : float64 [K, D, D]
    labels : int32 [N]
        The likeliest Gaussian of each point, of the last round.
    log_likelihood : tuple of float
        Mean per point, of every round; it never falls (but for rounding).
    """

    shares: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int32]
    log_likelihood: tuple[float, ...]


def _kernel() -> Any:
    from segserve.ops.classical import gmm_kernel  # noqa: PLC0415  numba opens late

    return gmm_kernel


def gmm(image: Array, options: GmmOptions, *, stop: Stop = never) -> Labels:
    """Cluster an image's pixels by the likeliest Gaussian; label 0 is the darkest cluster.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between rounds.

    Returns
    -------
    labels : int32 [H, W]

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    options = checked(options)
    features = pixel_features(image, options.features, options.position_weight)
    fitted = fit(_projected(features), options, stop=stop)
    return by_brightness(fitted.labels.reshape(image.shape[:2]), image)


def _projected(features: Floats) -> Floats:
    """Keep the `_MAX_DIMS` principal directions of features with more dimensions."""
    if len(features) <= _MAX_DIMS:
        return features
    centred = features - features.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(np.asarray(centred @ centred.T, dtype=np.float64))
    chosen = vectors[:, ::-1][:, :_MAX_DIMS].astype(np.float32)
    return np.ascontiguousarray(chosen.T @ centred)


def fit(features: Floats, options: GmmOptions, *, stop: Stop = never) -> Mixture:
    """Fit a mixture to points, from k-means' clusters.

    Parameters
    ----------
    features : float32 [D, N]
        C-contiguous, finite.
    """
    start = KMeansOptions(
        clusters=options.clusters, iterations=_START_ROUNDS, starts=2, seed=options.seed
    )
    centre = features.mean(axis=1, keepdims=True)  # keeps float32 sums of squares well scaled
    points = np.ascontiguousarray(features - centre)
    mixture = _from_clusters(points, cluster(points, start, stop=stop), options)
    history: list[float] = []
    for _ in range(options.iterations):
        check_stop(stop)
        mixture, likelihood = _round(points, mixture, options.floor)
        history.append(likelihood)
        if len(history) > 1 and history[-1] - history[-2] < options.tolerance:
            break
    means = mixture.means + centre.T
    return Mixture(mixture.shares, means, mixture.covariances, mixture.labels, tuple(history))


def _from_clusters(points: Floats, found: Clusters, options: GmmOptions) -> Mixture:
    count, dims = found.centres.shape
    shares = np.bincount(found.labels, minlength=count) / points.shape[1]
    covariances = np.empty((count, dims, dims))
    for k in range(count):
        own = points[:, found.labels == k] - found.centres[k][:, None]
        covariances[k] = (own @ own.T) / max(own.shape[1], 1)
    covariances += options.floor * np.eye(dims)
    return Mixture(shares, found.centres.astype(np.float64), covariances, found.labels, ())


def _round(points: Floats, mixture: Mixture, floor: float) -> tuple[Mixture, float]:
    """Take one E and one M step; gives the mean log likelihood before the M step."""
    count, dims = mixture.means.shape
    whitening = np.linalg.cholesky(np.linalg.inv(mixture.covariances))
    log_det = np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
    with np.errstate(divide="ignore"):  # an empty Gaussian's share: never the likeliest
        offsets = np.log(mixture.shares) + log_det - 0.5 * dims * np.log(2 * np.pi)
    offsets = np.maximum(offsets, -1e30).astype(np.float32)
    weights = np.empty(count)
    sums = np.empty((count, dims))
    products = np.empty((count, dims, dims))
    labels = np.empty(points.shape[1], np.int32)
    likelihood = _kernel().step(
        points,
        mixture.means.astype(np.float32),
        np.ascontiguousarray(whitening, dtype=np.float32),
        offsets,
        weights,
        sums,
        products,
        labels,
    )
    alive = np.maximum(weights, 1e-9)
    means = sums / alive[:, None]
    lower = np.tril(products) / alive[:, None, None]
    second = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
    covariances = second - means[:, :, None] * means[:, None, :] + floor * np.eye(dims)
    kept = weights > dims  # a Gaussian that has lost its points stays as it was, with no share
    fitted = Mixture(
        weights / weights.sum(),
        np.where(kept[:, None], means, mixture.means),
        np.where(kept[:, None, None], covariances, mixture.covariances),
        labels,
        (),
    )
    return fitted, likelihood / points.shape[1]
