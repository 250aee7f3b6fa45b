"""Clustering and parting a photograph, against OpenCV, scikit-learn and scikit-image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.kernels import libraries, scenes
from loadtests.kernels.case import KernelCase
from segserve.ops.classical.chan_vese import ChanVeseOptions, evolve
from segserve.ops.classical.features import intensity
from segserve.ops.classical.gmm import GmmOptions, Mixture, fit
from segserve.ops.classical.kmeans import Clusters, KMeansOptions, cluster

HEIGHT, WIDTH = 375, 500
CLUSTERS, ROUNDS = 8, 10
GAUSSIANS, EM_ROUNDS = 5, 20
CONTOUR_ROUNDS = 34
"""Even, because scikit-image takes its smoothing operators in turns from one call to the next."""

Floats = npt.NDArray[np.float32]


def cases() -> Sequence[KernelCase]:
    """Give k-means and Gaussian mixtures on colours, and morphological Chan-Vese on grey levels."""
    image = scenes.photograph(HEIGHT, WIDTH)
    pixels = image.reshape(-1, 3).astype(np.float32)
    grey = np.rint(intensity(image)).astype(np.uint8)
    return [_kmeans(pixels), _gmm(pixels), _chan_vese(grey)]


def _inertia(pixels: Floats, centres: npt.NDArray[Any]) -> float:
    """Give the sum of squared distances to the nearest centre."""
    nearest = np.full(len(pixels), np.inf)
    for centre in centres:
        nearest = np.minimum(nearest, ((pixels - centre) ** 2).sum(axis=1))
    return float(nearest.sum())


def _kmeans(pixels: Floats) -> KernelCase:
    (cv2,), skipped = libraries.needs("cv2")
    columns = np.ascontiguousarray(pixels.T)
    options = KMeansOptions(clusters=CLUSTERS, iterations=ROUNDS, starts=1, seed=0)

    def baseline() -> Any:
        cv2.setRNGSeed(0)
        stop = (cv2.TERM_CRITERIA_COUNT, ROUNDS, 0)
        return cv2.kmeans(pixels, CLUSTERS, None, stop, 1, cv2.KMEANS_PP_CENTERS)[2]

    def agreement(theirs: Any, mine: Clusters) -> str:
        ratio = _inertia(pixels, mine.centres) / _inertia(pixels, theirs)
        return f"inertia {ratio:.3f} of theirs (both start at random)"

    name = f"k-means, {CLUSTERS} of {WIDTH}x{HEIGHT} colours, {ROUNDS} rounds, against OpenCV"
    ours = partial(cluster, columns, options)
    return KernelCase(name, 6, None if skipped else baseline, ours, agreement, skipped)


def _gmm(pixels: Floats) -> KernelCase:
    (sklearn,), skipped = libraries.needs("sklearn.mixture")
    columns = np.ascontiguousarray(pixels.T)
    options = GmmOptions(clusters=GAUSSIANS, iterations=EM_ROUNDS, tolerance=0, seed=0)

    def baseline() -> float:
        model = sklearn.GaussianMixture(
            GAUSSIANS, max_iter=EM_ROUNDS, tol=0, reg_covar=1.0, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stopped at the last round is meant
            model.fit(pixels)
        return float(model.score(pixels))

    def agreement(theirs: float, mine: Mixture) -> str:
        return f"log likelihood a pixel {mine.log_likelihood[-1]:.3f}, theirs {theirs:.3f}"

    name = f"mixture of {GAUSSIANS} on {WIDTH}x{HEIGHT} colours, {EM_ROUNDS} rounds, scikit-learn"
    ours = partial(fit, columns, options)
    return KernelCase(name, 80, None if skipped else baseline, ours, agreement, skipped)


def _chan_vese(grey: npt.NDArray[np.uint8]) -> KernelCase:
    (skimage,), skipped = libraries.needs("skimage.segmentation")
    levels = grey.astype(np.float64)
    y, x = np.mgrid[:HEIGHT, :WIDTH] // 5
    begin = (y + x) % 2 == 1

    def baseline() -> Any:
        return skimage.morphological_chan_vese(levels, CONTOUR_ROUNDS, begin)

    def agreement(theirs: Any, mine: npt.NDArray[np.bool_]) -> str:
        return f"{np.count_nonzero((theirs > 0) != mine)} of {mine.size} pixels differ"

    name = f"Chan-Vese of {WIDTH}x{HEIGHT}, {CONTOUR_ROUNDS} rounds, against scikit-image"
    ours = partial(evolve, grey, begin, ChanVeseOptions(iterations=CONTOUR_ROUNDS))
    return KernelCase(name, 25, None if skipped else baseline, ours, agreement, skipped)
