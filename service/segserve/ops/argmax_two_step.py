"""From logits to labels through the network's own resolution: two bilinear steps, then argmax.

The official programs that enlarge logits to the network's input, cut the padding off and resize the
rest to the source picture (detectron2: ``modeling/postprocessing.py:sem_seg_postprocess``) see
other values than one direct interpolation gives. Here both steps are one weighting of at most four
logits along each axis, so that nothing of the size of the network's input is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array
from segserve.ops.argmax import LabelArray, NetworkGrid, checked_logits, empty_labels
from segserve.ops.bilinear import torch_axis

_TAPS = 4


@dataclass(frozen=True)
class _Taps:
    """Which logits each output pixel looks at along one axis, and their shares."""

    index: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def _taps(size: int, network_px: int, valid_px: int, out_px: int) -> _Taps:
    """`size` logits to `network_px`, the first `valid_px` of those to `out_px`."""
    near, far = torch_axis(size, network_px), torch_axis(valid_px, out_px)
    index = np.empty((out_px, _TAPS), dtype=np.int64)
    weight = np.empty((out_px, _TAPS), dtype=np.float64)
    steps = ((far.low, 1 - far.weight.astype(np.float64)), (far.high, far.weight))
    for i, (pixels, share) in enumerate(steps):
        right = near.weight[pixels].astype(np.float64)
        index[:, 2 * i], index[:, 2 * i + 1] = near.low[pixels], near.high[pixels]
        weight[:, 2 * i], weight[:, 2 * i + 1] = share * (1 - right), share * right
    return _merged(index, weight)


def _merged(index: npt.NDArray[np.int64], weight: npt.NDArray[np.float64]) -> _Taps:
    """Add up the shares of a logit that is looked at twice, and leave out columns of zeros."""
    for later in range(1, _TAPS):
        for earlier in range(later):
            same = index[:, later] == index[:, earlier]
            weight[same, earlier] += weight[same, later]
            weight[same, later] = 0
    order = np.argsort(weight == 0, axis=1, kind="stable")
    index = np.take_along_axis(index, order, axis=1)
    weight = np.take_along_axis(weight, order, axis=1)
    used = max(1, int((weight != 0).any(axis=0).sum()))
    return _Taps(
        np.ascontiguousarray(index[:, :used].T),
        np.ascontiguousarray(weight[:, :used].T, dtype=np.float32),
    )


def _kernel() -> Any:
    from segserve.ops import argmax_two_step_kernel  # noqa: PLC0415  numba opens late

    return argmax_two_step_kernel


def upsample_argmax_two_step(
    logits: Array, grid: NetworkGrid, height: int, width: int
) -> LabelArray:
    """Resize logits to the network's input, cut, resize to the picture, give the largest class.

    Both steps are torch's ``interpolate(mode="bilinear", align_corners=False)``; sums are taken in
    another order, so labels may differ where two classes tie to the last bits. Equal values: the
    first class.

    Parameters
    ----------
    logits : float32 or float16 [C, h, w]
        Of the network's whole input, padding included.
    grid : NetworkGrid
    height, width : int
        Of the source picture, in pixels.

    Returns
    -------
    labels : uint8 [height, width], uint16 above 256 classes

    Raises
    ------
    InvalidInput
        On a wrong rank or dtype, or sizes that are not positive.
    """
    logits = checked_logits(logits)
    valid = (grid.valid_height_px, grid.valid_width_px)
    if min(height, width, *valid) < 1 or valid[0] > grid.height_px or valid[1] > grid.width_px:
        raise InvalidInput(
            f"sizes must be positive and lie inside the network's, got {grid} and {height}x{width}"
        )
    rows = _taps(logits.shape[1], grid.height_px, valid[0], height)
    columns = _taps(logits.shape[2], grid.width_px, valid[1], width)
    labels = empty_labels(len(logits), height, width)
    _kernel().weigh_argmax(logits, rows.index, rows.weight, columns.index, columns.weight, labels)
    return labels
