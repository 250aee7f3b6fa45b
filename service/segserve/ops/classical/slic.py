"""SLIC superpixels: k-means on colour and place, each centre looking at its surroundings alone.

Achanta et al., IEEE TPAMI 34(11), 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segserve.core.tensor import Array
from segserve.ops.classical.features import gradients, lab, smooth
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.regions import connected_pieces
from segserve.ops.classical.segmentation import (
    Floats,
    Labels,
    Stop,
    check_image,
    check_stop,
    is_constant,
    never,
)

_SMALLEST_SHARE = 0.25  # of a superpixel's mean area, as in the authors' code


@dataclass(frozen=True)
class SlicOptions:
    """Options of SLIC."""

    segments: int = whole(400, 1, 20000, "superpixels, about")
    compactness: float = real(10.0, 0.01, 1000, "colour distance that a superpixel's side equals")
    iterations: int = whole(10, 1, 100, "rounds")
    sigma_px: float = real(0.0, 0, 10, "blur before, in pixels")


def _kernel() -> Any:
    from segserve.ops.classical import slic_kernel  # noqa: PLC0415  numba opens late

    return slic_kernel


def slic(image: Array, options: SlicOptions, *, stop: Stop = never) -> Labels:
    """Cut an image into superpixels, each 4-connected, numbered in scan order.

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
    height, width = image.shape[:2]
    step_px = max(1.0, (height * width / options.segments) ** 0.5)
    planes = np.ascontiguousarray(smooth(lab(image), options.sigma_px))
    centres = _grid(planes, step_px)
    labels = np.zeros((height, width), np.int32)
    distances = np.empty((height, width), np.float32)
    weight = np.float32((options.compactness / step_px) ** 2)
    reach_y, reach_x = (round(2 * side / max(1, round(side / step_px))) for side in (height, width))
    for _ in range(options.iterations):
        check_stop(stop)
        _kernel().assign(planes, centres, reach_y, reach_x, weight, labels, distances)
        _kernel().average(planes, labels, centres)
    return connected_pieces(labels, round(_SMALLEST_SHARE * height * width / len(centres)))


def _grid(planes: Floats, step_px: float) -> Floats:
    """Place centres on a grid, each at the flattest of its 3 x 3 pixels: [K, (l, a, b, y, x)]."""
    _, height, width = planes.shape
    rows, columns = max(1, round(height / step_px)), max(1, round(width / step_px))
    ys = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    xs = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    slopes = np.stack([np.hypot(*gradients(plane)) for plane in planes]).sum(axis=0)
    y, x = (axis.reshape(-1) for axis in np.meshgrid(ys, xs, indexing="ij"))
    near_y = np.clip(y[:, None] + np.repeat([-1, 0, 1], 3), 0, height - 1)
    near_x = np.clip(x[:, None] + np.tile([-1, 0, 1], 3), 0, width - 1)
    flattest = slopes[near_y, near_x].argmin(axis=1)
    every = np.arange(len(y))
    y, x = near_y[every, flattest], near_x[every, flattest]
    return np.ascontiguousarray(np.concatenate([planes[:, y, x], [y, x]]).T, dtype=np.float32)
