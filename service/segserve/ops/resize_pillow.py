"""Pillow's bilinear resize of uint8 pixels, bit for bit, fused with the normalisation.

Source of the arithmetic: Pillow's ``src/libImaging/Resample.c`` (``precompute_coeffs``,
``normalize_coeffs_8bpc``): a triangle as wide as the scale (so it is antialiased when shrinking),
weights in 22 bits, one pass along rows and one along columns, each to whole grey levels. Which pass
comes first is that of Pillow 13 (older ones always begin with the rows, which gives other levels
where the height shrinks much more than the width). Tested against ``Image.resize``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.resize import Normalisation, Resized, write_resized

_ONE = 1 << 22


@dataclass(frozen=True)
class _Taps:
    """Which samples each output pixel looks at along one axis, and their shares in 1 / 2**22."""

    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    shares: npt.NDArray[np.int32]


@lru_cache(maxsize=512)
def _taps(source_px: int, target_px: int) -> _Taps:
    scale = source_px / target_px
    reach = max(scale, 1.0)
    centres = (np.arange(target_px) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((centres + reach + 0.5).astype(np.int64), source_px) - first
    tap = np.arange(int(count.max()))
    distance = (tap + first[:, None] - centres[:, None] + 0.5) * (1 / reach)
    weights = np.where(tap < count[:, None], np.maximum(1 - np.abs(distance), 0), 0)
    total = np.zeros(target_px)
    for column in weights.T:  # one after another, as Pillow adds them up
        total += column
    shares = (0.5 + weights / total[:, None] * _ONE).astype(np.int32)
    shares[tap >= count[:, None]] = 0
    return _Taps(first, count, shares)


def _kernel() -> Any:
    from segserve.ops import resize_pillow_kernel  # noqa: PLC0415  numba opens late

    return resize_pillow_kernel


def resize_normalise_pillow(
    pixels: Array, out: Array, normalisation: Normalisation, size: tuple[int, int]
) -> None:
    """Resize as ``Image.resize`` does with ``BILINEAR``, normalise, pad.

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


def _down_first(job: Resized) -> bool:
    """Whether the height loses more than twice the pixels that the width loses."""
    (height, width), source = job.size, job.pixels.shape
    return bool(source[0] - height > max(0, 2 * (source[1] - width)))


def _write(job: Resized) -> None:
    rows = _taps(job.pixels.shape[0], job.size[0])
    columns = _taps(job.pixels.shape[1], job.size[1])
    kernel = _kernel()
    run = kernel.resize_down_first if _down_first(job) else kernel.resize
    run(
        job.pixels,
        *(rows.first, rows.count, rows.shares),
        *(columns.first, columns.count, columns.shares),
        job.normalisation.table(),
        job.normalisation.planes(),
        job.out,
    )
