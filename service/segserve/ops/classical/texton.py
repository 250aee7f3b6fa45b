"""Textons: clustered responses of a filter bank; windows are told apart by their histograms.

Malik, Belongie, Leung and Shi, IJCV 43(1), 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segserve.core.tensor import Array
from segserve.ops.classical.features import filter_bank, intensity
from segserve.ops.classical.kmeans import KMeansOptions, by_brightness, cluster
from segserve.ops.classical.options import checked, whole
from segserve.ops.classical.segmentation import (
    Floats,
    Labels,
    Stop,
    check_image,
    check_stop,
    is_constant,
    never,
)

_ROUNDS = 10


@dataclass(frozen=True)
class TextonOptions:
    """Options of texton segmentation."""

    clusters: int = whole(4, 1, 32, "textures")
    textons: int = whole(24, 2, 64, "different textons")
    window_px: int = whole(21, 1, 201, "side of the window that a histogram is of")
    iterations: int = whole(20, 1, 300, "rounds of k-means on the histograms at most")
    seed: int = whole(0, 0, 2**31 - 1, "of the random numbers")


def texton(image: Array, options: TextonOptions, *, stop: Stop = never) -> Labels:
    """Segment by texture; label 0 is the darkest.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between the steps and the rounds of k-means.

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
    check_stop(stop)
    responses = filter_bank(intensity(image)).reshape(-1, image.shape[0] * image.shape[1])
    words = KMeansOptions(clusters=options.textons, iterations=_ROUNDS, starts=1, seed=options.seed)
    textons = cluster(responses, words, stop=stop).labels.reshape(image.shape[:2])
    histograms = texton_histograms(textons, options.textons, options.window_px)
    groups = KMeansOptions(
        clusters=options.clusters, iterations=options.iterations, seed=options.seed
    )
    found = cluster(histograms.reshape(options.textons, -1), groups, stop=stop)
    return by_brightness(found.labels.reshape(image.shape[:2]), image)


def texton_histograms(textons: Array, count: int, window_px: int) -> Floats:
    """Give the share of every texton in the window around each pixel, float32 [count, H, W].

    Windows are cut at the image's borders, so that shares always add up to 1.
    """
    height, width = textons.shape
    before, after = window_px // 2, window_px - window_px // 2
    top, bottom = (np.clip(np.arange(height) + d, 0, height) for d in (-before, after))
    left, right = (np.clip(np.arange(width) + d, 0, width) for d in (-before, after))
    areas = ((bottom - top)[:, None] * (right - left)[None]).astype(np.float32)
    out = np.empty((count, height, width), np.float32)
    sums = np.zeros((height + 1, width + 1), np.int32)
    for k in range(count):
        np.cumsum(np.cumsum(textons == k, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
        rows = sums[bottom] - sums[top]
        out[k] = (rows[:, right] - rows[:, left]) / areas
    return out
