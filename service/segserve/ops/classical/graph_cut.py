"""Foreground extraction by iterated graph cuts, guided by a box and by seeds.

Boykov and Jolly, ICCV 2001; Rother, Kolmogorov and Blake, SIGGRAPH 2004 (GrabCut): Gaussian
mixtures of colour on both sides, contrast-dependent links, cut and fit in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.gmm import GmmOptions, Mixture, fit
from segserve.ops.classical.max_flow import NEIGHBOURS, minimum_cut
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.seeds import discs
from segserve.ops.classical.segmentation import (
    NO_PROMPTS,
    Floats,
    Labels,
    Prompts,
    Stop,
    check_box,
    check_image,
    check_stop,
    is_constant,
    never,
    whole_image_box,
)

_CENTRED_SHARE = 0.8
_SURE = np.float32(1e4)
_LARGEST_COST = np.float32(100.0)
_GAUSSIANS = 5
_FIT_ROUNDS = 5
_MAX_FIT_POINTS = 20_000

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GraphCutOptions:
    """Options of the graph cut."""

    smoothness: float = real(50.0, 0, 1000, "cost of a border between two equal pixels")
    iterations: int = whole(5, 1, 50, "rounds of fitting and cutting at most")
    seed_radius_px: int = whole(3, 0, 100, "pixels around a seed that are sure too")
    seed: int = whole(0, 0, 2**31 - 1, "of the random numbers")


@dataclass(frozen=True)
class Extraction:
    """A foreground.

    Parameters
    ----------
    mask : bool [H, W]
    energy : tuple of float
        Of every round's cut under the mixtures that it was made with.
    """

    mask: Mask
    energy: tuple[float, ...]


def graph_cut(
    image: Array, options: GraphCutOptions, prompts: Prompts = NO_PROMPTS, *, stop: Stop = never
) -> Labels:
    """Cut the object in a box off its surroundings.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    prompts : Prompts
        ``box``: all outside is background; without one (and without seeds) a centred box of four
        fifths of the image's sides. ``seeds``: label 0 is surely background, others object.
    stop : callable
        Asked in and between rounds.

    Returns
    -------
    labels : int32 [H, W]
        1 for the object, 0 around it; all 0 when nothing is left of it.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    found = extract(image, checked(options), prompts, stop=stop).mask
    return found.astype(np.int32) if not found.all() else np.zeros(found.shape, np.int32)


def extract(
    image: Array, options: GraphCutOptions, prompts: Prompts = NO_PROMPTS, *, stop: Stop = never
) -> Extraction:
    """Fit and cut in turn until the mask stays; parameters as `graph_cut`."""
    mask, sure_object, sure_ground = first_mask(image, prompts, options.seed_radius_px, stop=stop)
    links = contrast_links(image, options.smoothness)
    features = np.ascontiguousarray(np.moveaxis(image, 2, 0).reshape(3, -1), np.float32)
    energy: list[float] = []
    for _ in range(options.iterations):
        check_stop(stop)
        if mask.all() or not mask.any():
            break
        costs = [_costs(features, side.reshape(-1), options, stop) for side in (mask, ~mask)]
        lowest = np.minimum(*costs)
        as_object, as_ground = ((cost - lowest).reshape(mask.shape) for cost in costs)
        # the source's side is the object: cutting a pixel off costs what the ground costs it
        to_source = np.where(sure_object, _SURE, np.where(sure_ground, 0, as_ground))
        to_sink = np.where(sure_ground, _SURE, np.where(sure_object, 0, as_object))
        cut = minimum_cut(to_source, to_sink, links, stop=stop)
        energy.append(cut.value + float(lowest.sum()))
        if np.array_equal(cut.source_side, mask):
            break
        mask = cut.source_side
    return Extraction(mask, tuple(energy))


def first_mask(
    image: Array, prompts: Prompts, radius_px: int, *, stop: Stop = never
) -> tuple[Mask, Mask, Mask]:
    """Give the first mask, and what is surely object and surely not.

    Raises
    ------
    InvalidInput
        When a seed is outside the image, or nothing of it is in the box.
    Cancelled
    """
    height, width = image.shape[:2]
    sure_object = np.zeros((height, width), bool)
    sure_ground = np.zeros((height, width), bool)
    box = prompts.box
    if box is None and prompts.seeds is None:
        box = whole_image_box(image, _CENTRED_SHARE)
    if box is not None:
        check_box(box, image)
        left, top = (int(v) for v in np.floor(np.maximum(box[:2], 0)))
        right, bottom = (int(v) for v in np.ceil(np.minimum(box[2:], (width, height))))
        sure_ground[:] = True
        sure_ground[top:bottom, left:right] = False
    seeds = prompts.seeds if prompts.seeds is not None else np.zeros((0, 3), np.float32)
    places = discs(seeds, (height, width), radius_px, stop=stop)
    for (window, near), label in zip(places, seeds[:, 2].tolist(), strict=True):
        sure_object[window][near] = label > 0
        sure_ground[window][near] = label <= 0
    mask = ~sure_ground
    if mask.all() and prompts.seeds is not None and sure_object.any():
        mask = sure_object.copy()
    return mask, sure_object, sure_ground


def contrast_links(image: Array, smoothness: float) -> Floats:
    """Give the costs of borders between neighbours: smoothness * exp(-beta |d|^2) / distance.

    beta is 1 over twice the mean of |d|^2, as in GrabCut.

    Returns
    -------
    links : float32 [8, H, W]
        For `max_flow.NEIGHBOURS`; 0 out of the image.
    """
    height, width = image.shape[:2]
    planes = image.astype(np.float32)
    squares = np.zeros((len(NEIGHBOURS), height, width), np.float32)
    inside = np.zeros(squares.shape, bool)
    for d, (dy, dx) in enumerate(NEIGHBOURS):
        here = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
        there = (slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx)))
        squares[(d, *here)] = ((planes[here] - planes[there]) ** 2).sum(axis=2)
        inside[(d, *here)] = True
    beta = 1 / max(2 * float(squares[inside].mean()), 1e-9)
    lengths = np.array([np.hypot(dy, dx) for dy, dx in NEIGHBOURS], np.float32)[:, None, None]
    return np.where(inside, np.exp(-beta * squares) * (smoothness / lengths), 0).astype(np.float32)


def _costs(features: Floats, side: Mask, options: GraphCutOptions, stop: Stop) -> Floats:
    """Give -log of every pixel's density under a mixture fitted to one side, at most 100."""
    own = features[:, side]
    if own.shape[1] > _MAX_FIT_POINTS:
        own = own[:, :: -(-own.shape[1] // _MAX_FIT_POINTS)]
    wanted = GmmOptions(clusters=_GAUSSIANS, iterations=_FIT_ROUNDS, seed=options.seed)
    mixture = fit(np.ascontiguousarray(own), wanted, stop=stop)
    return np.minimum(-log_density(features, mixture), _LARGEST_COST)


def log_density(features: Floats, mixture: Mixture) -> Floats:
    """Give the log density of points under a mixture, float32 [N].

    Parameters
    ----------
    features : float32 [D, N]
    """
    total = np.full(features.shape[1], -np.inf, np.float32)
    for share, mean, covariance in zip(
        mixture.shares, mixture.means, mixture.covariances, strict=True
    ):
        if share <= 0:
            continue
        whitening = np.linalg.cholesky(np.linalg.inv(covariance)).T.astype(np.float32)
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        white = whitening @ (features - mean[:, None].astype(np.float32))
        offset = np.float32(np.log(share) - 0.5 * log_det)
        total = np.logaddexp(total, offset - np.float32(0.5) * (white * white).sum(axis=0))
    return total
