"""Normalised cuts of a graph of superpixels, split in two again and again.

Shi and Malik, IEEE TPAMI 22(8), 2000: Ncut(A, B) = cut(A, B) / assoc(A, V) + cut(A, B) /
assoc(B, V) by the second eigenvector of (D - W) x = lambda D x, split where Ncut is least.
Affinities are exp(-|x - y|^2 / 2 sigma^2) on colour times the same on place, between all pairs of
superpixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import lab
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.regions import region_means
from segserve.ops.classical.segmentation import (
    Labels,
    Stop,
    check_image,
    check_stop,
    consecutive,
    is_constant,
    never,
)
from segserve.ops.classical.slic import SlicOptions, slic

Doubles = npt.NDArray[np.float64]
_NO_CUT = (np.inf, np.zeros(0, np.intp))


@dataclass(frozen=True)
class NormalizedCutOptions:
    """Options of normalised cuts."""

    segments: int = whole(8, 1, 100, "parts at most")
    max_cut: float = real(0.5, 0, 2, "parts whose best Ncut is above this stay whole")
    colour_sigma: float = real(12.0, 0.1, 200, "of the affinity, in L*a*b*")
    place_sigma: float = real(0.2, 0.01, 10, "of the affinity, in diagonals of the image")
    superpixels: int = whole(300, 2, 1000, "nodes of the graph, about")


def normalized_cut(image: Array, options: NormalizedCutOptions, *, stop: Stop = never) -> Labels:
    """Cut an image into parts of similar colour and place.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between cuts.

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
    nodes = slic(image, SlicOptions(segments=options.superpixels), stop=stop)
    weights = _affinities(image, nodes, options)
    parts = cut_graph(weights, options.segments, options.max_cut, stop=stop)
    return consecutive(parts[nodes])


def _affinities(image: Array, nodes: Labels, options: NormalizedCutOptions) -> Doubles:
    height, width = nodes.shape
    y, x = np.mgrid[:height, :width]
    means = region_means(nodes, np.concatenate([lab(image), [y, x]]))
    colour = _squared_distances(means[:, :3]) / options.colour_sigma**2
    place = _squared_distances(means[:, 3:]) / (options.place_sigma * np.hypot(height, width)) ** 2
    return np.asarray(np.exp(-0.5 * (colour + place)))


def _squared_distances(points: Doubles) -> Doubles:
    return np.asarray(((points[:, None] - points[None]) ** 2).sum(axis=2))


def cut_graph(weights: Doubles, parts: int, max_cut: float, *, stop: Stop = never) -> Labels:
    """Split a graph where its normalised cut is least, until there are enough parts.

    Parameters
    ----------
    weights : float64 [N, N]
        Symmetric affinities, not negative, above 0 on the diagonal.
    parts : int
        At most.
    max_cut : float
        No part is split at a higher cost.

    Returns
    -------
    labels : int32 [N]
    """
    labels = np.zeros(len(weights), np.int32)
    cuts = [best_cut(weights)]
    while len(cuts) < parts:
        check_stop(stop)
        chosen = int(np.argmin([cost for cost, _ in cuts]))
        cost, side = cuts[chosen]
        if not cost <= max_cut:
            break
        members = np.flatnonzero(labels == chosen)
        new = len(cuts)
        labels[members[side]] = new
        cuts.append(_NO_CUT)
        for part in (chosen, new):
            own = np.flatnonzero(labels == part)
            cuts[part] = best_cut(weights[np.ix_(own, own)])
    return labels


def best_cut(weights: Doubles) -> tuple[float, npt.NDArray[np.intp]]:
    """Give the least normalised cut along the second eigenvector, and the nodes of one side.

    A graph of one node has none: infinite.
    """
    if len(weights) <= 1:
        return _NO_CUT
    degrees = weights.sum(axis=1)
    scale = 1 / np.sqrt(degrees)
    _, vectors = np.linalg.eigh(weights * scale[:, None] * scale)
    order = np.argsort(vectors[:, -2] * scale, kind="stable")
    ordered = weights[np.ix_(order, order)]
    inside = np.diagonal(np.cumsum(np.cumsum(ordered, axis=0), axis=1))[:-1]
    to_all = np.cumsum(degrees[order])[:-1]
    total = degrees.sum()
    cut = to_all - inside
    costs = cut / to_all + cut / (total - to_all)
    at = int(np.argmin(costs))
    return float(costs[at]), order[: at + 1]


def normalized_cut_cost(weights: Doubles, side: npt.NDArray[np.bool_]) -> float:
    """Give Ncut of one way to split a graph, by its definition."""
    cut = weights[np.ix_(side, ~side)].sum()
    return float(cut / weights[side].sum() + cut / weights[~side].sum())
