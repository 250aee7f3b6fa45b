"""Gaussian mixtures by expectation and maximisation, full covariances, started from k-means.

Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977; Bishop, Pattern Recognition and Machine
Learning, section 9.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
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
_START_ROUNDS = 2
_NOT_FITTED = np.zeros(0, np.float32)
_NEVER = 1e30  # the cost of an empty Gaussian
_GROUP = 32  # points that the kernel takes at a time


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
    found = cluster(points, start, stop=stop)
    data = _Points.of(points, found.labels)
    mixture = _from_clusters(data, found, options.floor)
    history: list[float] = []
    for _ in range(options.iterations):
        check_stop(stop)
        mixture, likelihood = _round(data, mixture, options.floor)
        history.append(likelihood)
        if len(history) > 1 and history[-1] - history[-2] < options.tolerance:
            break
    means = mixture.means + centre.T
    labels = data.labels[: data.count]
    return Mixture(mixture.shares, means, mixture.covariances, labels, tuple(history))


@dataclass(frozen=True)
class _Points:
    """Points as `gmm_kernel.step` takes them.

    Parameters
    ----------
    planes : float32 [D, P]
        Zeros after the last point, to whole groups.
    labels : int32 [P]
        Written in every round.
    count : int
        Of points.
    """

    planes: Floats
    labels: npt.NDArray[np.int32]
    count: int

    @classmethod
    def of(cls, points: Floats, labels: npt.NDArray[np.int32]) -> _Points:
        """Lay points and labels out in whole groups."""
        missing = -points.shape[1] % _GROUP
        planes = np.pad(points, ((0, 0), (0, missing)))
        return cls(planes, np.pad(labels, (0, missing)), points.shape[1])


def _from_clusters(data: _Points, found: Clusters, floor: float) -> Mixture:
    count, dims = found.centres.shape
    identity = np.broadcast_to(np.eye(dims), (count, dims, dims))
    empty = Mixture(np.zeros(count), found.centres.astype(np.float64), identity, data.labels, ())
    return _round(data, empty, floor, _NOT_FITTED)[0]


def _round(
    data: _Points, mixture: Mixture, floor: float, model: Floats | None = None
) -> tuple[Mixture, float]:
    """Take one E and one M step; gives the mean log likelihood before the M step.

    With an empty `model` the E step is left out, and the labels count.
    """
    count, dims = mixture.means.shape
    kernel, pairs = _kernel(), (dims + 1) * (dims + 2) // 2
    moments = np.zeros((count, -(-pairs // kernel.ROWS) * kernel.ROWS))
    likelihood: float = kernel.step(
        data.planes.reshape(-1),
        data.count,
        _for_kernel(mixture) if model is None else model,
        count,
        np.zeros(dims, np.int64),
        data.labels,
        moments.reshape(-1),
    )
    weights = moments[:, 0]
    means, covariances = _centred(moments, dims)
    kept = weights > dims  # a Gaussian that has lost its points stays as it was, with no share
    fitted = Mixture(
        weights / weights.sum(),
        np.where(kept[:, None], means, mixture.means),
        np.where(kept[:, None, None], covariances + floor * np.eye(dims), mixture.covariances),
        data.labels,
        (),
    )
    return fitted, likelihood * math.log(2) / data.count


@cache
def _orders(dims: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give where `_centred` and `_for_kernel` find what they write, element by element."""
    square = np.zeros((dims + 1, dims + 1), np.int64)
    rows, columns = np.tril_indices(dims + 1)
    square[rows, columns] = square[columns, rows] = np.arange(len(rows))
    model = [0]
    for i in range(dims):
        model += [1 + i, *(1 + dims + j * dims + i for j in range(i, dims))]
    return square, np.array(model)


def _for_kernel(mixture: Mixture) -> Floats:
    """Write a mixture down as `gmm_kernel.step` reads it, float32 [K * (D + 1) * (D + 2) / 2]."""
    count, dims = mixture.means.shape
    whitening = np.linalg.cholesky(np.linalg.inv(mixture.covariances))
    log_det = np.log(whitening.diagonal(axis1=1, axis2=2)).sum(axis=1)
    log_share = np.log(np.maximum(mixture.shares, 1e-300))
    offsets = log_share + log_det - 0.5 * dims * math.log(2 * math.pi)
    whitening *= math.sqrt(0.5 / math.log(2))  # from exp(-d.d / 2) to 2**(-d.d)
    table = np.empty((count, 1 + dims + dims * dims), np.float32)
    table[:, 0] = np.where(mixture.shares > 0, -offsets / math.log(2), _NEVER)
    table[:, 1 : 1 + dims] = -(mixture.means[:, None] @ whitening)[:, 0]
    table[:, 1 + dims :] = whitening.reshape(count, -1)
    return table[:, _orders(dims)[1]].reshape(-1)


def _centred(
    moments: npt.NDArray[np.float64], dims: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Turn moments about zero, in the order of `gmm_kernel.step`, into means and covariances."""
    square = (moments / np.maximum(moments[:, :1], 1e-9))[:, _orders(dims)[0]]
    means = square[:, 1:, 0]
    return means, square[:, 1:, 1:] - means[:, :, None] * means[:, None, :]
