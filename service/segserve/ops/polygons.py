"""Polygons to masks: PolarMask's contours.

Source of the semantics: OpenCV's ``drawContours(thickness=FILLED)``: the outline itself is part of
the mask, inside is what an odd number of edges encloses.
"""

from __future__ import annotations

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.regions import Rle
from segserve.core.tensor import Array
from segserve.ops import rle

_RANK = 3


def fill_polygons_to_rle(contours: Array, height: int, width: int) -> tuple[Rle, ...]:
    """Fill one polygon per mask and encode it.

    Parameters
    ----------
    contours : integer [N, P, 2]
        x, y of the corners in pixels, P at least 1; parts outside of the image are cut off.
    height, width : int
        Of the image, at least 1.

    Returns
    -------
    rles : tuple of Rle, length N

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    import cv2  # noqa: PLC0415  heavy: opens late

    if (
        contours.ndim != _RANK
        or contours.shape[2] != 2  # noqa: PLR2004  x and y
        or contours.shape[1] == 0
        or contours.dtype.kind not in "iu"
        or min(height, width) < 1
    ):
        raise InvalidInput(
            f"expected integer contours [N, P, 2] and an image of 1x1 at least, got "
            f"{contours.dtype} {list(contours.shape)} and {height}x{width}"
        )
    found = []
    for contour in contours:
        canvas = np.zeros((height, width), dtype=np.uint8)
        cv2.drawContours(canvas, [contour.astype(np.int32)[:, None]], -1, 1, cv2.FILLED)
        found.append(rle.encode(canvas))
    return tuple(found)
