"""Random walker: a pixel takes the label whose seeds a random walk from it reaches first.

Grady, IEEE TPAMI 28(11), 2006. The Dirichlet problem is solved by conjugate gradients with a
diagonal preconditioner, from the solution at half the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.seeds import discs
from segserve.ops.classical.segmentation import (
    NO_PROMPTS,
    Floats,
    Labels,
    Prompts,
    Stop,
    check_image,
    check_stop,
    consecutive,
    is_constant,
    never,
)

_UNKNOWN = -1
_SMALLEST_WEIGHT = np.float32(1e-4)
_COARSEST_PX = 24
_MAX_LABELS = 16
_ASK_EVERY = 8


@dataclass(frozen=True)
class RandomWalkerOptions:
    """Options of the random walker."""

    beta: float = real(90.0, 0, 10000, "how much a step in colour holds the walker back")
    tolerance: float = real(1e-3, 1e-6, 0.1, "of the probabilities' residual, relative")
    iterations: int = whole(400, 1, 10000, "rounds of conjugate gradients at most, at each size")
    seed_radius_px: int = whole(2, 0, 100, "pixels around a seed that are known too")


def _kernel() -> Any:
    from segserve.ops.classical import random_walker_kernel  # noqa: PLC0415  numba opens late

    return random_walker_kernel


def random_walker(
    image: Array,
    options: RandomWalkerOptions,
    prompts: Prompts = NO_PROMPTS,
    *,
    stop: Stop = never,
) -> Labels:
    """Segment an image from seeds.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    prompts : Prompts
        ``seeds``, of up to 16 labels; without any the image's border has label 0 and a disc in its
        middle, of a tenth of the shorter side, label 1.
    stop : callable
        Asked between rounds.

    Returns
    -------
    labels : int32 [H, W]
        The seeds' labels, numbered from 0 on in their order.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    options = checked(options)
    check_stop(stop)
    known = known_labels(image, prompts, options.seed_radius_px, stop=stop)
    count = int(known.max()) + 1
    if count == 1:
        return np.zeros(known.shape, np.int32)
    chances = probabilities(image.astype(np.float32), known, count, options, stop=stop)
    return consecutive(chances.argmax(axis=0))


def known_labels(image: Array, prompts: Prompts, radius_px: int, *, stop: Stop = never) -> Labels:
    """Give the labels of seeds, numbered from 0 on, and -1 elsewhere: int32 [H, W].

    Raises
    ------
    InvalidInput
        When a seed is outside, or there are too many labels.
    Cancelled
    """
    height, width = image.shape[:2]
    known = np.full((height, width), _UNKNOWN, np.int32)
    if prompts.seeds is None:
        known[[0, -1]] = known[:, [0, -1]] = 0
        seeds = np.array([[width / 2, height / 2, 1]], np.float32)
        radius_px = min(height, width) // 10
    else:
        seeds = prompts.seeds
    values, places = np.unique(seeds[:, 2], return_inverse=True)
    if len(values) > _MAX_LABELS or (seeds[:, 2] != np.rint(seeds[:, 2])).any():
        raise InvalidInput(f"seeds must have at most {_MAX_LABELS} whole labels, got {values}")
    first = 0 if prompts.seeds is not None else 1
    discs_of_seeds = discs(seeds, (height, width), radius_px, stop=stop)
    for (window, near), label in zip(discs_of_seeds, places.reshape(-1) + first, strict=True):
        known[window][near] = label
    return known


def probabilities(
    planes: Floats, known: Labels, count: int, options: RandomWalkerOptions, *, stop: Stop
) -> Floats:
    """Give for every label the chance that a walk reaches its seeds first: float32 [count, H, W].

    Parameters
    ----------
    planes : float32 [H, W, C]
    known : int32 [H, W]
        Labels of seeds, -1 elsewhere.
    """
    right, down = _weights(planes, options.beta)
    guess = _first_guess(planes, known, count, options, stop)
    free = np.ascontiguousarray(known == _UNKNOWN)
    out = np.empty_like(guess)
    for label in range(count):
        start = np.where(free, guess[label], known == label).astype(np.float32)
        out[label] = _solve(start, (right, down, free), options, stop)
    return out


def _first_guess(
    planes: Floats, known: Labels, count: int, options: RandomWalkerOptions, stop: Stop
) -> Floats:
    height, width = known.shape
    if min(height, width) < 2 * _COARSEST_PX:
        return np.full((count, height, width), 1 / count, np.float32)
    even_y, even_x = height // 2 * 2, width // 2 * 2
    quarters = [planes[y:even_y:2, x:even_x:2] for y in (0, 1) for x in (0, 1)]
    seeds = [known[y:even_y:2, x:even_x:2] for y in (0, 1) for x in (0, 1)]
    coarse = np.asarray(np.mean(quarters, axis=0), np.float32)
    found = probabilities(coarse, np.max(seeds, axis=0), count, options, stop=stop)
    rows = np.minimum(np.arange(height) // 2, found.shape[1] - 1)
    columns = np.minimum(np.arange(width) // 2, found.shape[2] - 1)
    return np.asarray(found[:, rows[:, None], columns])


def _weights(planes: Floats, beta: float) -> tuple[Floats, Floats]:
    """Give the weights of the edges to the right and down, zero where there is no neighbour."""
    steps = []
    for axis in (1, 0):
        step = np.zeros(planes.shape[:2], np.float32)
        inner = (slice(None), slice(None, -1)) if axis else (slice(None, -1), slice(None))
        step[inner] = (np.diff(planes, axis=axis) ** 2).sum(axis=2)
        steps.append(step)
    scale = np.float32(beta / max(float(steps[0].max()), float(steps[1].max()), 1e-9))
    right, down = (np.exp(-scale * step) + _SMALLEST_WEIGHT for step in steps)
    return np.ascontiguousarray(right, np.float32), np.ascontiguousarray(down, np.float32)


def _solve(
    x: Floats,
    system: tuple[Floats, Floats, npt.NDArray[np.bool_]],
    options: RandomWalkerOptions,
    stop: Stop,
) -> Floats:
    """Solve L x = 0 at the free pixels, the others fixed, from x."""
    right, down, free = system
    multiply = _kernel().laplacian
    inverse = free / np.maximum(_degrees(right, down), _SMALLEST_WEIGHT)
    product = np.empty_like(x)
    multiply(x, right, down, free, product)
    residual = -product
    fixed = np.where(free, 0, x).astype(np.float32)
    multiply(fixed, right, down, free, product)
    goal = options.tolerance**2 * max(float((product * inverse * product).sum()), 1e-20)
    step = (residual * inverse).astype(np.float32)
    along = step
    size = float((residual * step).sum())
    for index in range(options.iterations):
        if size <= goal:
            break
        if index % _ASK_EVERY == 0:
            check_stop(stop)
        multiply(along, right, down, free, product)
        length = size / max(float((along * product).sum()), 1e-30)
        x = x + np.float32(length) * along
        residual = residual - np.float32(length) * product
        step = (residual * inverse).astype(np.float32)
        before, size = size, float((residual * step).sum())
        along = step + np.float32(size / before) * along
    return x


def _degrees(right: Floats, down: Floats) -> Floats:
    """Sum the weights of the edges that really lead somewhere."""
    out = np.zeros_like(right)
    out[:, :-1] += right[:, :-1]
    out[:, 1:] += right[:, :-1]
    out[:-1] += down[:-1]
    out[1:] += down[:-1]
    return out
