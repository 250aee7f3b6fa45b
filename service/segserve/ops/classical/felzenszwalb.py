"""Efficient graph-based segmentation: merging along a minimum spanning forest.

Felzenszwalb and Huttenlocher, IJCV 59(2), 2004. Edge weights are rounded down to 1/148 of a grey
level, so that they sort in linear time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segserve.core.tensor import Array
from segserve.ops.classical.features import smooth
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.segmentation import (
    Labels,
    Stop,
    check_image,
    check_stop,
    is_constant,
    never,
)

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_STEPS_PER_LEVEL = 148.0  # 255 * sqrt(3) * 148 < 65535


@dataclass(frozen=True)
class FelzenszwalbOptions:
    """Options of graph-based merging."""

    scale: float = real(300.0, 0, 1e6, "larger makes larger regions, in grey levels times pixels")
    sigma_px: float = real(0.8, 0, 10, "blur before, in pixels")
    min_size_px: int = whole(50, 1, 10**7, "smaller regions join a neighbour")


def _kernel() -> Any:
    from segserve.ops.classical import felzenszwalb_kernel  # noqa: PLC0415  numba opens late

    return felzenszwalb_kernel


def felzenszwalb(image: Array, options: FelzenszwalbOptions, *, stop: Stop = never) -> Labels:
    """Segment an image; regions are 8-connected and numbered in scan order.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between weighing, sorting and merging.

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
    planes = np.ascontiguousarray(smooth(np.moveaxis(image, 2, 0), options.sigma_px))
    weights = np.empty((len(_NEIGHBOURS), height, width), np.uint16)
    for out, (dy, dx) in zip(weights, _NEIGHBOURS, strict=True):
        _kernel().weigh(planes, dy, dx, out, _STEPS_PER_LEVEL)
    check_stop(stop)
    flat = weights.reshape(-1)
    order = np.argsort(flat, kind="stable")
    check_stop(stop)
    parents = np.empty(height * width, np.int32)
    offsets = np.array([dy * width + dx for dy, dx in _NEIGHBOURS], dtype=np.int64)
    _kernel().merge(
        order,
        flat,
        offsets,
        height * width,
        _STEPS_PER_LEVEL,
        options.scale,
        options.min_size_px,
        parents,
    )
    return _in_scan_order(parents).reshape(height, width)


def _in_scan_order(parents: Array) -> Labels:
    """Give numbers to roots by where they are first seen."""
    roots, first, places = np.unique(parents, return_index=True, return_inverse=True)
    ranks = np.empty(len(roots), np.int32)
    ranks[np.argsort(first)] = np.arange(len(roots))
    return ranks[places]
