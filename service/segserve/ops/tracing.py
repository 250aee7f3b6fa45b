"""From soft samples on a coarse grid to COCO RLE at image size, without the image's pixels.

Bilinear interpolation lies between its four samples. So a cell whose corners are all surely above
the threshold, or all surely below, is decided without looking at its pixels; in the others the
crossing of every column is solved for, and pixels close to it are computed in the very order of
sums that torch uses. The cost is that of the outline, not of the area.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.regions import Rle
from segserve.ops import rle
from segserve.ops.bilinear import Floats

RELATIVE_MARGIN = 1e-5
"""How far from the threshold a value is sure, as a share of the largest sample (at least of 1)."""

ORDER_GENERIC = 0
ORDER_LANES = 2
ORDER_SINGLE = 3

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Planes:
    """Soft masks and where their samples lie in the image.

    Parameters
    ----------
    values : float32 [...]
        Samples of all masks, one after the other, column by column.
    codes : uint8 [...]
        For each sample: 1 when surely below the threshold, 2 when surely above, else 0.
    shapes : int64 [N, 11]
        Of each mask: where its samples begin, how many rows it has; the window of the image that
        it covers (y1, y2, x1, x2); where the window's axes begin in `lows` and `weights` (y, x);
        what to add to the rows and columns named there; the order of the sums: 0 torch's
        ``interpolate``, 1 ``grid_sample``, 2 and 3 ``interpolate`` to small outputs, in lanes and
        one by one.
    margins : float32 [N]
        How far from the threshold a value is sure.
    lows : int32 [...]
        Of each pixel of an axis: the sample before it; the one after it is the next.
    weights : float32 [...]
        Share of the sample after it.
    """

    values: Floats
    codes: npt.NDArray[np.uint8]
    shapes: Longs
    margins: Floats
    lows: npt.NDArray[np.int32]
    weights: Floats


def _kernel() -> Any:
    from segserve.ops import trace_kernel  # noqa: PLC0415  numba opens late

    return trace_kernel


def trace(
    planes: Planes, height: int, width: int, threshold: float, *, strict: bool
) -> tuple[Rle, ...]:
    """Threshold soft masks at image size and encode them.

    Parameters
    ----------
    planes : Planes
        Trusted: what the prepare kernels make.
    height, width : int
        Of the image.
    threshold : float
    strict : bool
        Whether a pixel must be above the threshold, not only reach it.

    Returns
    -------
    rles : tuple of Rle, length N
    """
    edges, splits = _kernel().trace_planes(
        planes.values,
        planes.codes,
        planes.shapes,
        planes.margins,
        planes.lows,
        planes.weights,
        threshold,
        strict,
        height,
    )
    return rle.edges_to_rles(edges, splits, height, width)
