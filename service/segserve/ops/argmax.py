"""From logits to a label for every pixel, without ever holding full-size logits.

The same labels, bit for bit, as ``torch.nn.functional.interpolate(mode="bilinear")`` on a CPU
followed by ``argmax``: PyTorch's ``aten/src/ATen/native/UpSample.h`` (source index and scale) and
``native/cpu/UpSampleKernel.cpp`` (order of the sums). Its kernel for outputs of about 128x128
and below adds in another order, so there labels may differ where two classes tie to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

_RANK = 3
_MAX_U8_CLASSES = 256
_MAX_CLASSES = 65536

LabelArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class NetworkGrid:
    """Where the image lies in the network's input.

    Parameters
    ----------
    height_px, width_px : int
        Size of the network's input, padding included.
    valid_height_px, valid_width_px : int
        The upper left part that holds the image.
    """

    height_px: int
    width_px: int
    valid_height_px: int
    valid_width_px: int


@dataclass(frozen=True)
class _Axis:
    """How output pixels lie between logits along one axis."""

    spans: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def _kernel() -> Any:
    from segserve.ops import argmax_kernel  # noqa: PLC0415  numba opens late

    return argmax_kernel


def _spans(source: npt.NDArray[np.float32], size: int) -> _Axis:
    """Group output pixels by the pair of logits they lie between; `source` does not fall."""
    low = np.minimum(source.astype(np.int64), size - 1)
    weights = np.clip(source - low.astype(np.float32), 0, 1).astype(np.float32)
    begins = np.flatnonzero(np.diff(low, prepend=-1))
    ends = np.append(begins[1:], len(low))
    cells = low[begins]
    spans = np.stack([begins, ends, cells, np.minimum(cells + 1, size - 1)], axis=1)
    return _Axis(np.ascontiguousarray(spans, dtype=np.int64), weights)


@lru_cache(maxsize=512)
def _torch_axis(size: int, network_px: int, kept_px: int, *, align_corners: bool) -> _Axis:
    """Torch's source positions for `network_px` outputs of `size` logits, the first `kept_px`."""
    out = np.arange(kept_px, dtype=np.float64)
    if align_corners:
        scale = np.float32(size - 1) / np.float32(network_px - 1) if network_px > 1 else 0
        return _spans((np.float32(scale) * out.astype(np.float32)).astype(np.float32), size)
    scale = np.float32(size) / np.float32(network_px)
    # multiply and subtract with a single rounding, as the fused instruction does
    source = (np.float64(scale) * (out + 0.5) - 0.5).astype(np.float32)
    return _spans(np.maximum(source, np.float32(0)), size)


@lru_cache(maxsize=512)
def _mapped_axis(
    size: int, network_px: int, valid_px: int, out_px: int, *, align_corners: bool
) -> _Axis:
    """Source pixel -> network pixel -> logit, clamped to the logits that the image covers."""
    network = (np.arange(out_px) + 0.5) * (valid_px / out_px) - 0.5
    if align_corners:
        source = network * ((size - 1) / max(network_px - 1, 1))
    else:
        source = (network + 0.5) * (size / network_px) - 0.5
    last = valid_count(size, network_px, valid_px) - 1
    return _spans(np.clip(source, 0, last).astype(np.float32), size)


def valid_count(size: int, network_px: int, valid_px: int) -> int:
    """Count the logits along an axis that the image covers, rounded up; at least 1."""
    return min(size, max(1, -(-size * valid_px // network_px)))


def _axis(size: int, network_px: int, valid_px: int, out_px: int, *, align_corners: bool) -> _Axis:
    if valid_px == out_px:
        return _torch_axis(size, network_px, out_px, align_corners=align_corners)
    return _mapped_axis(size, network_px, valid_px, out_px, align_corners=align_corners)


def checked_logits(logits: Array) -> Array:
    """Give logits [C, h, w] as contiguous float32, or raise `InvalidInput`."""
    if logits.ndim != _RANK or 0 in logits.shape or logits.dtype.kind != "f":
        raise InvalidInput(
            f"logits must be float [C, h, w] with no empty axis, got {logits.dtype} "
            f"{list(logits.shape)}"
        )
    if len(logits) > _MAX_CLASSES:
        raise InvalidInput(f"at most {_MAX_CLASSES} classes fit a label map, got {len(logits)}")
    return np.ascontiguousarray(logits, dtype=np.float32)


def empty_labels(classes: int, height: int, width: int) -> LabelArray:
    """Give an uninitialised label map: uint8, or uint16 above 256 classes."""
    if classes <= _MAX_U8_CLASSES:
        return np.empty((height, width), dtype=np.uint8)
    return np.empty((height, width), dtype=np.uint16)


def argmax(logits: Array, height: int | None = None, width: int | None = None) -> LabelArray:
    """Give the first largest class of every logit, at the logits' own resolution.

    Parameters
    ----------
    logits : float32 or float16 [C, h, w]
    height, width : int, optional
        Only the upper left part.

    Returns
    -------
    labels : uint8 [height, width], uint16 above 256 classes

    Raises
    ------
    InvalidInput
        On a wrong rank or dtype, or a part larger than the logits.
    """
    logits = checked_logits(logits)
    size = (height or logits.shape[1], width or logits.shape[2])
    if size[0] > logits.shape[1] or size[1] > logits.shape[2]:
        raise InvalidInput(
            f"the part must lie inside logits of {list(logits.shape[1:])}, got {list(size)}"
        )
    return _argmax(logits, *size)[0]


def _argmax(logits: Array, height: int, width: int) -> tuple[LabelArray, npt.NDArray[np.uint8]]:
    labels = empty_labels(len(logits), height, width)
    safe = np.empty((height, width), dtype=np.uint8)
    _kernel().argmax(logits, height, width, labels, safe)
    return labels, safe


def upsample_argmax(
    logits: Array,
    height: int,
    width: int,
    *,
    grid: NetworkGrid | None = None,
    align_corners: bool = False,
) -> LabelArray:
    """Interpolate logits bilinearly at every pixel and give the first largest class.

    Without a grid, or along an axis on which the image was not resized, positions are torch's for
    ``interpolate(size=network input)``, and padding is cropped away. Along an axis on which the
    image was resized, source pixel y looks at network pixel ``(y + 0.5) * valid / height - 0.5``
    and from there at the logit torch's rule gives, clamped to the logits that the image covers:
    one interpolation in place of two.

    Parameters
    ----------
    logits : float32 or float16 [C, h, w]
    height, width : int
        Size of the result, in pixels of the source image.
    grid : NetworkGrid, optional
        Default: the image is the network's input.
    align_corners : bool
        torch's flag of the same name.

    Returns
    -------
    labels : uint8 [height, width], uint16 above 256 classes

    Raises
    ------
    InvalidInput
        On a wrong rank or dtype, or sizes that are not positive.
    """
    logits = checked_logits(logits)
    grid = grid or NetworkGrid(height, width, height, width)
    sizes = (height, width, grid.valid_height_px, grid.valid_width_px)
    if (
        min(sizes) < 1
        or grid.valid_height_px > grid.height_px
        or grid.valid_width_px > grid.width_px
    ):
        raise InvalidInput(f"sizes must be positive and lie inside the network's, got {sizes}")
    _, rows, columns = logits.shape
    axis_y = _axis(rows, grid.height_px, grid.valid_height_px, height, align_corners=align_corners)
    axis_x = _axis(columns, grid.width_px, grid.valid_width_px, width, align_corners=align_corners)
    reach = (int(axis_y.spans[-1, 3]) + 1, int(axis_x.spans[-1, 3]) + 1)
    labels, safe = _argmax(logits, *reach)
    if reach == (height, width) and not axis_y.weights.any() and not axis_x.weights.any():
        return labels
    out = np.empty((height, width), dtype=labels.dtype)
    _kernel().upsample_argmax(
        logits, labels, safe, axis_y.spans, axis_x.spans, axis_y.weights, axis_x.weights, out
    )
    return out
