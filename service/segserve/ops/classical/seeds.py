"""Pixels around seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.ops.classical.segmentation import Floats, Stop, check_stop, never

_ASK_EVERY = 64

Window = tuple[slice, slice]


def discs(
    seeds: Floats, size: tuple[int, int], radius_px: int, *, stop: Stop = never
) -> Iterator[tuple[Window, npt.NDArray[np.bool_]]]:
    """Give for each seed the part of the image around it, and which pixels there are near it.

    Parameters
    ----------
    seeds : float32 [N, 3]
        x, y and label.
    size : (H, W)
    radius_px : int
        0 for the seed's own pixel alone.
    stop : callable
        Asked now and then.

    Yields
    ------
    window : (rows, columns)
    near : bool, of the window's size

    Raises
    ------
    InvalidInput
        When a seed is outside the image.
    Cancelled
    """
    height, width = size
    steps = np.arange(-radius_px, radius_px + 1)
    disc = steps[:, None] ** 2 + steps**2 <= radius_px**2
    for index, (x, y) in enumerate(seeds[:, :2].tolist()):
        if index % _ASK_EVERY == 0:
            check_stop(stop)
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidInput(
                f"seed ({x:g}, {y:g}) is outside the image of {width} x {height} pixels"
            )
        (rows, disc_rows), (columns, disc_columns) = (
            _overlap(int(place), radius_px, side) for place, side in ((y, height), (x, width))
        )
        yield (rows, columns), disc[disc_rows, disc_columns]


def _overlap(place: int, radius_px: int, side: int) -> tuple[slice, slice]:
    """Give the part of an axis that a disc covers, and the part of the disc that does."""
    begin, end = max(0, place - radius_px), min(side, place + radius_px + 1)
    return slice(begin, end), slice(begin - place + radius_px, end - place + radius_px)
