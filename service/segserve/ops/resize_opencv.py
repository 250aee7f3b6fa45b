"""OpenCV's bilinear resize of uint8 pixels, bit for bit, fused with the normalisation.

Source of the arithmetic: ``modules/imgproc/src/resize.cpp`` (``resizeGeneric_`` with
``HResizeLinear`` and ``VResizeLinear``): weights in 11 bits, sums in integers, two roundings; and
halving both sides exactly is the mean of four pixels. Tested against ``cv2.resize``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.resize import Normalisation, Resized, write_resized

_ONE = 2048  # 11 bits


@dataclass(frozen=True)
class _Axis:
    """The two samples that each output pixel lies between, and their shares in 1/2048."""

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    low_share: npt.NDArray[np.int32]
    high_share: npt.NDArray[np.int32]


@lru_cache(maxsize=512)
def _axis(source_px: int, target_px: int, *, is_row: bool) -> _Axis:
    """Half-pixel centres; along a row the shares beside the border are whole, along y cut off."""
    at = ((np.arange(target_px) + 0.5) * (source_px / target_px) - 0.5).astype(np.float32)
    low = np.floor(at).astype(np.int64)
    share = (at - low.astype(np.float32)).astype(np.float32)
    last = source_px - 1
    if is_row:
        share[(low < 0) | (low >= last)] = 0
    high_share = np.rint(share * np.float32(_ONE)).astype(np.int32)
    low_share = np.rint((np.float32(1) - share) * np.float32(_ONE)).astype(np.int32)
    if is_row:
        low = np.clip(low, 0, last)
    return _Axis(np.clip(low, 0, last), np.clip(low + 1, 0, last), low_share, high_share)


def _kernel() -> Any:
    from segserve.ops import resize_opencv_kernel  # noqa: PLC0415  numba opens late

    return resize_opencv_kernel


def resize_normalise_opencv(
    pixels: Array, out: Array, normalisation: Normalisation, size: tuple[int, int]
) -> None:
    """Resize as ``cv2.resize`` does with ``INTER_LINEAR``, normalise, pad.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
        RGB, any strides.
    out : float32 [3, at least H, at least W]
        Any strides; all of it is written: the upper left [H, W] is the resized image.
    normalisation : Normalisation
    size : (H, W)
        Of the resized image.

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    write_resized(pixels, out, normalisation, size, _write)


def _write(job: Resized) -> None:
    (height, width), source = job.size, job.pixels.shape[:2]
    kernel, rest = _kernel(), (job.normalisation.table(), job.normalisation.planes(), job.out)
    if source == (2 * height, 2 * width):
        kernel.halve(job.pixels, *rest)
        return
    rows = _axis(source[0], height, is_row=False)
    columns = _axis(source[1], width, is_row=True)
    kernel.resize(
        job.pixels,
        *(rows.low, rows.high, rows.low_share, rows.high_share),
        *(columns.low, columns.high, columns.low_share, columns.high_share),
        *rest,
    )
