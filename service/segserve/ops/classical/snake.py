"""Active contours: greedy and dynamic-programming snakes on a closed contour.

Kass, Witkin and Terzopoulos, IJCV 1(4), 1988; Amini, Weymouth and Jain, IEEE TPAMI 12(9), 1990
(dynamic programming); Williams and Shah, CVGIP: Image Understanding 55(1), 1992 (greedy).

E = sum tension (d - |v[i+1] - v[i]|)^2 + stiffness |v[i-1] - 2 v[i] + v[i+1]|^2 + edges field(v[i])
+ prior |v[i] - start[i]|^2, where d is the mean side and the field is minus the squared gradient's
size, summed over several blurs and brought to [-1, 0], so that borders are felt from afar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import gradients, intensity, smooth
from segserve.ops.classical.options import checked, choice, real, whole
from segserve.ops.classical.segmentation import (
    NO_PROMPTS,
    Floats,
    Prompts,
    Segmentation,
    Stop,
    check_box,
    check_image,
    check_stop,
    is_constant,
    never,
    whole_image_box,
)
from segserve.ops.polygons import fill_polygons_to_rle
from segserve.ops.rle import decode

_CENTRED_SHARE = 0.8
_BLURS_PX = (2.0, 4.0, 8.0)
_FEW = 0.02

Vertices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SnakeOptions:
    """Options of the snake."""

    method: str = choice(("greedy", "dynamic"), "greedy windows, or the best of all 3 x 3 windows")
    vertices: int = whole(60, 4, 400, "of the contour; one that is given may have more")
    tension: float = real(0.2, 0, 1000, "weight of even sides")
    stiffness: float = real(0.1, 0, 1000, "weight of low curvature")
    edges: float = real(300.0, 0, 1e6, "weight of the picture's gradient")
    prior: float = real(0.0, 0, 1000, "weight of staying where the contour began")
    reach_px: int = whole(2, 1, 10, "of a greedy window, in pixels: 2 is 5 x 5")
    iterations: int = whole(200, 1, 5000, "rounds at most")


@dataclass(frozen=True)
class Snake:
    """Where a contour came to rest.

    Parameters
    ----------
    contour : int64 [N, 2]
        y, x of its vertices.
    energy : tuple of float
        At the start and after every round; it never rises.
    """

    contour: Vertices
    energy: tuple[float, ...]


def _kernel() -> Any:
    from segserve.ops.classical import snake_kernel  # noqa: PLC0415  numba opens late

    return snake_kernel


def snake(
    image: Array, options: SnakeOptions, prompts: Prompts = NO_PROMPTS, *, stop: Stop = never
) -> Segmentation:
    """Draw a contour to the nearest borders and fill it.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    prompts : Prompts
        ``contour``: where to begin; or ``box``: the ellipse in it; without either the ellipse in a
        centred box of four fifths of the image's sides.
    stop : callable
        Asked between rounds.

    Returns
    -------
    Segmentation
        Labels (1 inside, 0 outside) and the contour.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    options = checked(options)
    begin = _beginning(image, options, prompts)
    if is_constant(image):
        nothing = np.zeros(image.shape[:2], np.int32)
        return Segmentation(nothing, contour=_as_xy(begin))
    rest = settle(edge_field(image), begin, options, stop=stop).contour
    (mask,) = fill_polygons_to_rle(rest[None, :, ::-1].astype(np.int32), *image.shape[:2])
    labels = decode(mask).astype(np.int32)
    if labels.all():
        labels = np.zeros_like(labels)
    return Segmentation(labels, contour=_as_xy(rest))


def _as_xy(contour: Vertices) -> Floats:
    return np.ascontiguousarray(contour[:, ::-1] + 0.5, dtype=np.float32)


def _beginning(image: Array, options: SnakeOptions, prompts: Prompts) -> Vertices:
    height, width = image.shape[:2]
    if prompts.contour is not None:
        places = _spread(prompts.contour[:, ::-1] - 0.5, options.vertices)
    else:
        given = prompts.box if prompts.box is not None else whole_image_box(image, _CENTRED_SHARE)
        box = check_box(given, image).astype(np.float64)  # that sums of huge ones are finite
        angles = np.linspace(0, 2 * np.pi, options.vertices, endpoint=False)
        centre = np.array([box[1] + box[3], box[0] + box[2]]) / 2 - 0.5
        half = np.array([box[3] - box[1], box[2] - box[0]]) / 2
        places = centre + half * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    last = np.array([height - 1, width - 1])
    return np.ascontiguousarray(np.clip(np.rint(places), 0, last), dtype=np.int64)


def _spread(corners: Floats, count: int) -> npt.NDArray[np.float64]:
    """Give a closed contour with fewer vertices than `count` that many, evenly along its sides."""
    if len(corners) >= count:
        return corners.astype(np.float64)
    closed = np.concatenate([corners, corners[:1]]).astype(np.float64)
    ends_px = np.concatenate([[0], np.hypot(*np.diff(closed, axis=0).T).cumsum()])
    at_px = np.linspace(0, ends_px[-1], count, endpoint=False)
    return np.stack([np.interp(at_px, ends_px, axis) for axis in closed.T], axis=1)


def edge_field(image: Array) -> Floats:
    """Give minus the squared gradient's size over several blurs, in [-1, 0]: float32 [H, W]."""
    grey = intensity(image)
    total = np.zeros_like(grey)
    for blur_px in _BLURS_PX:
        along_x, along_y = gradients(smooth(grey, blur_px))
        squared = along_x**2 + along_y**2
        total -= squared / max(float(squared.max()), 1e-9)
    return np.ascontiguousarray(total / len(_BLURS_PX), dtype=np.float32)


def settle(field: Floats, begin: Vertices, options: SnakeOptions, *, stop: Stop = never) -> Snake:
    """Move a contour until hardly anything moves.

    Parameters
    ----------
    field : float32 [H, W]
        Low where the contour shall go.
    begin : int64 [N, 2]
        y, x, inside the field; also the shape that the prior holds to.
    """
    contour = begin.copy()
    energy = [snake_energy(contour, begin, field, options)]
    for _ in range(options.iterations):
        check_stop(stop)
        moved = _round(contour, begin, field, options, stop)
        energy.append(snake_energy(contour, begin, field, options))
        if moved == 0 or (options.method == "greedy" and moved <= _FEW * len(contour)):
            break
    return Snake(contour, tuple(energy))


def _round(
    contour: Vertices, prior: Vertices, field: Floats, options: SnakeOptions, stop: Stop
) -> int:
    mean = _mean_side(contour)
    weights = (options.tension, options.stiffness, options.edges, options.prior)
    if options.method == "greedy":
        moved: int = _kernel().greedy(contour, prior, field, mean, options.reach_px, *weights)
        return moved
    best, best_energy = contour.copy(), np.inf
    found = np.empty_like(contour)
    for first in (4, 0, 1, 2, 3, 5, 6, 7, 8):  # the centre wins ties
        check_stop(stop)
        energy = _kernel().viterbi(contour, prior, field, mean, *weights, first, found)
        if energy < best_energy - 1e-9:
            best, best_energy = found.copy(), energy
    moved = int((best != contour).any(axis=1).sum())
    contour[:] = best
    return moved


def _mean_side(contour: Vertices) -> float:
    return float(np.hypot(*(np.roll(contour, -1, axis=0) - contour).T).mean())


def curvature_energy(contour: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Give |v[i-1] - 2 v[i] + v[i+1]|^2 of every vertex of a closed contour [N, 2]."""
    points = np.asarray(contour, dtype=np.float64)
    bends = np.roll(points, 1, axis=0) - 2 * points + np.roll(points, -1, axis=0)
    return np.asarray((bends**2).sum(axis=1))


def snake_energy(contour: Vertices, prior: Vertices, field: Floats, options: SnakeOptions) -> float:
    """Give the energy of a contour, by its definition."""
    sides = np.hypot(*(np.roll(contour, -1, axis=0) - contour).T.astype(np.float64))
    uneven = ((sides.mean() - sides) ** 2).sum()
    bend = curvature_energy(contour).sum()
    pull = field[contour[:, 0], contour[:, 1]].sum(dtype=np.float64)
    away = ((contour - prior) ** 2).sum()
    return float(
        options.tension * uneven
        + options.stiffness * bend
        + options.edges * pull
        + options.prior * away
    )
