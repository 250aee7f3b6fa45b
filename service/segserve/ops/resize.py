"""Pixels to a network's input: resize, normalise, pad, written straight into the batch's row.

``exact``: no resize, or Pillow's own, then a table of the official float32 values: what comes out
equals torchvision's ``to_tensor`` and ``normalize`` bit for bit. ``fast``: half-pixel bilinear
without antialiasing (what OpenCV's ``INTER_LINEAR`` and torch's ``interpolate`` compute), fused
with the normalisation, in float32 without rounding to whole grey levels in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

_RANK = 3
_PLANES = 3


@dataclass(frozen=True)
class Normalisation:
    """``(value * scale - mean) / std`` for each plane of the network's input, in float32.

    Parameters
    ----------
    mean, std : three floats
        In the order of the network's planes.
    divisor : float
        Values are divided by this first (255 makes 0..1); 1 leaves them.
    order : three ints
        Which channel of an RGB pixel each plane takes: (0, 1, 2), or (2, 1, 0) for BGR.
    pad : three floats, optional
        Padding in grey levels 0..255 of each plane; None pads with the mean, which becomes 0.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    divisor: float = 1.0
    order: tuple[int, int, int] = (0, 1, 2)
    pad: tuple[float, float, float] | None = None

    def apply(self, levels: Array) -> npt.NDArray[np.float32]:
        """Normalise grey levels, each step rounded to float32 as torchvision rounds it.

        Parameters
        ----------
        levels : [3, ...]
            Grey levels 0..255 of each plane.
        """
        shape = (_PLANES, *([1] * (levels.ndim - 1)))
        mean = np.asarray(self.mean, dtype=np.float32).reshape(shape)
        std = np.asarray(self.std, dtype=np.float32).reshape(shape)
        scaled = levels.astype(np.float32) / np.float32(self.divisor)
        normalised: npt.NDArray[np.float32] = (scaled - mean) / std
        return normalised

    def table(self) -> npt.NDArray[np.float32]:
        """Give the normalised value of every grey level, float32 [3, 256], a row for each plane."""
        return _table(self)

    def planes(self) -> npt.NDArray[np.int64]:
        """Give `order` as the kernels take it, int64 [3]."""
        return np.asarray(self.order, dtype=np.int64)

    def pad_values(self) -> npt.NDArray[np.float32]:
        """Give what stands in the padding of each plane, float32 [3]."""
        if self.pad is None:
            return np.zeros(_PLANES, dtype=np.float32)
        return self.apply(np.asarray(self.pad, dtype=np.float32))


@lru_cache(maxsize=64)
def _table(normalisation: Normalisation) -> npt.NDArray[np.float32]:
    levels = np.broadcast_to(np.arange(256), (_PLANES, 256))
    return np.ascontiguousarray(normalisation.apply(levels))


@dataclass(frozen=True)
class _Axis:
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@lru_cache(maxsize=512)
def _axis(source_px: int, target_px: int) -> _Axis:
    """Half-pixel centres, clamped at the borders."""
    at = np.clip((np.arange(target_px) + 0.5) * (source_px / target_px) - 0.5, 0, source_px - 1)
    low = np.floor(at).astype(np.int64)
    return _Axis(low, np.minimum(low + 1, source_px - 1), (at - low).astype(np.float32))


def _kernel() -> Any:
    from segserve.ops import resize_kernel  # noqa: PLC0415  numba opens late

    return resize_kernel


def _check(pixels: Array, out: Array, size: tuple[int, int]) -> None:
    if pixels.ndim != _RANK or pixels.shape[2] != _PLANES or pixels.dtype != np.uint8:
        raise InvalidInput(
            f"pixels must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
        )
    if 0 in pixels.shape or min(size) < 1:
        raise InvalidInput(f"an image has at least one pixel, got {list(pixels.shape)} to {size}")
    if out.ndim != _RANK or len(out) != _PLANES or out.dtype != np.float32:
        raise InvalidInput(
            f"the network's input must be float32 [3, H, W], got {out.dtype} {list(out.shape)}"
        )
    if size[0] > out.shape[1] or size[1] > out.shape[2]:
        raise InvalidInput(f"{size[0]}x{size[1]} pixels do not fit {list(out.shape)}")


def _fill_padding(out: Array, size: tuple[int, int], normalisation: Normalisation) -> None:
    height, width = size
    if (height, width) != out.shape[1:]:
        values = normalisation.pad_values()[:, None, None]
        out[:, height:] = values
        out[:, :height, width:] = values


@dataclass(frozen=True)
class Resized:
    """What a resizing kernel is to write; checked.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
        C-contiguous.
    out : float32 [3, at least H, at least W]
        C-contiguous; the kernel writes its upper left [H, W].
    normalisation : Normalisation
    size : (H, W)
    """

    pixels: Array
    out: Array
    normalisation: Normalisation
    size: tuple[int, int]


def write_resized(
    pixels: Array,
    out: Array,
    normalisation: Normalisation,
    size: tuple[int, int],
    write: Callable[[Resized], None],
) -> None:
    """Check the arrays, let `write` fill the upper left of `out`, and pad the rest.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
        Any strides.
    out : float32 [3, at least H, at least W]
        Any strides; all of it is written.
    normalisation : Normalisation
    size : (H, W)
        Of the resized image.
    write : callable
        Takes a `Resized`; not asked where the size stays as it is.

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    _check(pixels, out, size)
    if pixels.shape[:2] == size:
        write = _write_normalised
    target = out if out.flags.c_contiguous else np.empty(out.shape, dtype=out.dtype)
    write(Resized(np.ascontiguousarray(pixels), target, normalisation, size))
    _fill_padding(target, size, normalisation)
    if target is not out:
        out[:] = target


def normalise(pixels: Array, out: Array, normalisation: Normalisation) -> None:
    """Normalise without resizing into the upper left of `out`, and pad the rest.

    Parameters
    ----------
    pixels : uint8 [H, W, 3]
        RGB, any strides.
    out : float32 [3, at least H, at least W]
        Any strides; all of it is written.
    normalisation : Normalisation

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    write_resized(pixels, out, normalisation, pixels.shape[:2], _write_normalised)


def _write_normalised(job: Resized) -> None:
    rule = job.normalisation
    _kernel().normalise(job.pixels, rule.table(), rule.planes(), job.out)


def resize_normalise(
    pixels: Array, out: Array, normalisation: Normalisation, size: tuple[int, int]
) -> None:
    """Resize bilinearly without antialiasing, normalise, write the upper left of `out`, pad.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
        RGB, any strides.
    out : float32 [3, at least H, at least W]
        Any strides; all of it is written.
    normalisation : Normalisation
    size : (H, W)
        Of the resized image.

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes.
    """
    write_resized(pixels, out, normalisation, size, _write_fast)


def _write_fast(job: Resized) -> None:
    rule, source = job.normalisation, job.pixels.shape
    std = np.asarray(rule.std, dtype=np.float64)
    rows = _axis(source[0], job.size[0])
    columns = _axis(source[1], job.size[1])
    kernel = _kernel()
    run = kernel.enlarge if job.size[0] >= source[0] else kernel.shrink
    run(
        job.pixels,
        *(rows.low, rows.high, rows.weights),
        *(columns.low, columns.high, columns.weights),
        (1 / (rule.divisor * std)).astype(np.float32),
        (-np.asarray(rule.mean) / std).astype(np.float32),
        rule.planes(),
        job.out,
    )


def resize_pillow(pixels: Array, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize as Pillow does with ``BILINEAR`` (antialiased when shrinking), the official way.

    Parameters
    ----------
    pixels : uint8 [h, w, 3]
    size : (H, W)

    Returns
    -------
    pixels : uint8 [H, W, 3]
    """
    from PIL import Image  # noqa: PLC0415  opens late

    if pixels.shape[:2] == size:
        return pixels
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)
