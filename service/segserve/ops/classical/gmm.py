"""Gaussian mixtures by expectation and maximisation, full covariances, started from k-means.

Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977; Bishop, Pattern Recognition and Machine
Learning, section 9.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import FEATURES, pixel_features
from segserve.ops.classical.kmeans import Clusters, KMeansOptions, by_brightness, cluster_sample
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
_STARTS = 2


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
    """Fit a mixture to points, from k-means' clusters of a sample.

    Parameters
    ----------
    features : float32 [D, N]
        C-contiguous, finite.
    """
    start = KMeansOptions(clusters=options.clusters, starts=_STARTS, seed=options.seed)
    centre = features.mean(axis=1, keepdims=True)  # keeps float32 sums of squares well scaled
    data = _Points.of(features, centre)
    sample, found = cluster_sample(data.planes[:, : data.count], start, stop=stop)
    state, model = _State.of(sample, found, options.floor)
    history: list[float] = []
    for _ in range(options.iterations):
        check_stop(stop)
        last = model
        likelihood, model = state.advance(data, last, options.floor)
        history.append(likelihood)
        if len(history) > 1 and history[-1] - history[-2] < options.tolerance:
            break
    labels = state.labels(data, last)
    means = state.means + centre.T
    return Mixture(state.shares, means, state.covariances, labels, tuple(history))


@dataclass(frozen=True)
class _Points:
    """Points as `gmm_kernel.step` takes them.

    Parameters
    ----------
    planes : float32 [D, P]
        Zeros after the last point, to whole groups.
    count : int
        Of points.
    """

    planes: Floats
    count: int

    @classmethod
    def of(cls, points: Floats, centre: Floats) -> _Points:
        """Lay points out in whole groups, less a centre."""
        dims, count = points.shape
        group = _kernel().POINTS
        planes = np.zeros((dims, -(-count // group) * group), np.float32)
        np.subtract(points, centre, out=planes[:, :count])
        return cls(planes, count)


@dataclass(frozen=True)
class _State:
    """A mixture as the rounds change it, in place."""

    shares: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]

    @classmethod
    def of(cls, points: Floats, found: Clusters, floor: float) -> tuple[_State, Floats]:
        """Give a mixture of clusters as they are, and its model for the kernel."""
        count, dims = found.centres.shape
        identity = np.broadcast_to(np.eye(dims), (count, dims, dims)).copy()
        state = cls(np.zeros(count), found.centres.astype(np.float64), identity)
        terms = [np.ones(points.shape[1])]
        for a in range(dims):
            terms += [points[a], *(points[a] * points[b] for b in range(a + 1))]
        belongs = found.labels == np.arange(count)[:, None]
        moments = np.ascontiguousarray(belongs @ np.array(terms, np.float64).T)
        return state, state._refit(moments, floor)

    def advance(self, data: _Points, model: Floats, floor: float) -> tuple[float, Floats]:
        """Take one E and one M step.

        Parameters
        ----------
        data : _Points
        model : float32
            This mixture as the kernel reads it.
        floor : float

        Returns
        -------
        log_likelihood : float
            Mean per point, before the M step.
        model : float32
            After it.
        """
        bits, _, moments = self._step(data, model, only_labels=False)
        return bits * math.log(2) / data.count, self._refit(moments, floor)

    def labels(self, data: _Points, model: Floats) -> npt.NDArray[np.int32]:
        """Give the likeliest Gaussian of each point, by a model of as many."""
        _, labels, _ = self._step(data, model, only_labels=True)
        return labels[: data.count]

    def _step(
        self, data: _Points, model: Floats, *, only_labels: bool
    ) -> tuple[float, npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Give the log2 likelihood, labels (or nothing in their place), moments (or zeros)."""
        clusters, dims = self.means.shape
        labels = np.empty(data.planes.shape[1], np.int32)
        moments = np.zeros((clusters, _kernel().moments_of(dims)))
        bits: float = _kernel().step(
            data.planes.reshape(-1), data.count, model, clusters, np.zeros(dims, np.int64), labels,
            moments.reshape(-1), only_labels,
        )  # fmt: skip
        return bits, labels, moments

    def _refit(self, moments: npt.NDArray[np.float64], floor: float) -> Floats:
        count, dims = self.means.shape
        model = np.empty(count * (dims + 1) * (dims + 2) // 2, np.float32)
        _kernel().refit(moments, floor, self.shares, self.means, self.covariances, model)
        return model
