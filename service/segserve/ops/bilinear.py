"""Where PyTorch's bilinear interpolation looks, and how it sums, to the last bit.

Sources: ``aten/src/ATen/native/UpSample.h`` (source index and scale), ``native/cpu/
UpSampleKernel.cpp`` (two orders of the sums: outputs whose sides add up to 128 pixels or less take
another kernel; so do exactly three planes where torch runs on one thread, which is not followed
here). PyTorch's CPU builds contract a multiplication and the addition after it into one
rounding; the orders here were found by comparison and are tested against torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

_RANK = 3
_SMALL_SIDES_PX = 128
_LANES = 8  # of AVX2, which is what torch picks on most machines

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """The two samples that each output pixel lies between, along one axis; n pixels.

    Parameters
    ----------
    low, high : int64 [n]
        Indices of the samples; neither falls with the pixel.
    weight : float32 [n]
        Share of the higher one.
    """

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    weight: Floats


@lru_cache(maxsize=512)
def torch_axis(size: int, out_px: int) -> Axis:
    """Give the axis of ``interpolate(size=out_px, align_corners=False)`` on `size` samples."""
    scale = np.float32(size) / np.float32(out_px)
    # multiply and subtract with a single rounding, as the fused instruction does
    source = (np.float64(scale) * (np.arange(out_px) + 0.5) - 0.5).astype(np.float32)
    source = np.maximum(source, np.float32(0))
    low = np.minimum(source.astype(np.int64), size - 1)
    weight = np.clip(source - low.astype(np.float32), 0, 1).astype(np.float32)
    return Axis(low, np.minimum(low + 1, size - 1), weight)


def count_of_lanes(planes: int, height: int, width: int) -> int:
    """Count the planes that torch adds up in the order of its kernel for small outputs, in lanes.

    Returns
    -------
    lanes : int
        So many of the first planes; the others of a small output are added up one by one. -1 when
        the output is not small.
    """
    if height + width > _SMALL_SIDES_PX:
        return -1
    return planes - planes % _LANES


def _fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """Give a * b + c with one rounding (but for the rare double rounding of float64)."""
    fused: Floats = (a.astype(np.float64) * b + c).astype(np.float32)
    return fused


_Four = tuple[Floats, Floats, Floats, Floats]


def _sum_lanes(corners: _Four, shares: _Four) -> Floats:
    (a, b, c, d), (p, q, r, s) = corners, shares
    return _fma(a, p, _fma(b, q, _fma(d, s, c * r)))


def _sum_single(corners: _Four, shares: _Four) -> Floats:
    (a, b, c, d), (p, q, r, s) = corners, shares
    return _fma(d, s, _fma(c, r, _fma(a, p, b * q)))


def resize(planes: Array, height: int, width: int) -> Floats:
    """Resize planes as ``interpolate(mode="bilinear", align_corners=False)`` does.

    Written for clarity; the kernels that threshold at once never make these planes.

    Parameters
    ----------
    planes : float32 [N, h, w]
    height, width : int
        Of the result, at least 1.

    Returns
    -------
    resized : float32 [N, height, width]

    Raises
    ------
    InvalidInput
        On another rank, an empty axis or a size below 1.
    """
    if planes.ndim != _RANK or 0 in planes.shape[1:] or min(height, width) < 1:
        raise InvalidInput(
            f"expected planes [N, h, w] and a size of at least 1x1, got {list(planes.shape)} and "
            f"{height}x{width}"
        )
    planes = planes.astype(np.float32, copy=False)
    y, x = torch_axis(planes.shape[1], height), torch_axis(planes.shape[2], width)
    one = np.float32(1)
    right, down = x.weight, y.weight[:, None]
    left, up = one - right, one - down
    top, bottom = planes[:, y.low], planes[:, y.high]
    a, b, c, d = top[..., x.low], top[..., x.high], bottom[..., x.low], bottom[..., x.high]
    lanes = count_of_lanes(len(planes), height, width)
    if lanes >= 0:
        shares = (up * left, up * right, down * left, down * right)
        return np.concatenate(
            [
                _sum_lanes((a[:lanes], b[:lanes], c[:lanes], d[:lanes]), shares),
                _sum_single((a[lanes:], b[lanes:], c[lanes:], d[lanes:]), shares),
            ]
        )
    return _fma(_fma(a, left, b * right), up, _fma(c, left, d * right) * down)
