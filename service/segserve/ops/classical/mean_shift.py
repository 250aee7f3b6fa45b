"""Mean shift in L*u*v* and place: windows climb to modes; those that end together are one region.

Comaniciu and Meer, IEEE TPAMI 24(5), 2002. Flat kernel, as OpenCV's ``pyrMeanShiftFiltering``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segserve.core.tensor import Array
from segserve.ops.classical.features import luv
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

_ROWS_AT_A_TIME = 8
_LOOKS_AT_A_TIME = 10_000_000  # of windows at pixels, at most, but for one row


@dataclass(frozen=True)
class MeanShiftOptions:
    """Options of mean shift."""

    spatial_px: int = whole(7, 1, 50, "reach of a window along either axis, in pixels")
    colour: float = real(10.0, 0.5, 100, "reach of a window in L*u*v*")
    iterations: int = whole(5, 1, 50, "steps of a window at most")
    min_size_px: int = whole(50, 1, 10**7, "smaller regions join the one before them")


def _kernel() -> Any:
    from segserve.ops.classical import mean_shift_kernel  # noqa: PLC0415  numba opens late

    return mean_shift_kernel


def mean_shift(image: Array, options: MeanShiftOptions, *, stop: Stop = never) -> Labels:
    """Segment an image; regions are 4-connected and numbered in scan order.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked every few rows.

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
    return merged(find_modes(image, options, stop=stop), options)


def merged(modes: Floats, options: MeanShiftOptions) -> Labels:
    """Make regions of neighbours whose windows ended within half the colour reach.

    Parameters
    ----------
    modes : float32 [H, W, (L, u, v, y, x)]
    """
    labels = np.empty(modes.shape[:2], np.int32)
    _kernel().merge(modes, options.colour / 2, labels)
    return connected_pieces(labels, options.min_size_px)


def find_modes(image: Array, options: MeanShiftOptions, *, stop: Stop = never) -> Floats:
    """Give where every pixel's window ends: float32 [H, W, (L, u, v, y, x)]."""
    planes = np.ascontiguousarray(luv(image))
    height, width = image.shape[:2]
    modes = np.empty((height, width, 5), np.float32)
    reach, rounds = options.spatial_px, options.iterations
    looks = width * rounds * (2 * reach + 1) ** 2
    rows = min(_ROWS_AT_A_TIME, max(1, _LOOKS_AT_A_TIME // looks))
    for first in range(0, height, rows):
        check_stop(stop)
        last = min(height, first + rows)
        _kernel().shift(planes, first, last, reach, options.colour, rounds, modes)
    return modes
