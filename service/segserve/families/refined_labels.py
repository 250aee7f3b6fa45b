"""From a network's logits to the labels of a dense CRF, and the memory that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segserve.core.errors import BackendFailed, InvalidInput
from segserve.core.tensor import Array
from segserve.families.compatibility import of_labels
from segserve.ops.argmax import LabelArray, NetworkGrid, valid_count
from segserve.ops.crf import DenseCrfOptions, dense_crf
from segserve.ops.crf.unary import unary_from_logits

BYTES_PER_PIXEL = 256
"""Working memory of a refinement of up to eight labels."""

_BYTES_PER_LABEL = 20
_MAX_LABELS_U8 = 256
_LIKELY = 0.01
_RULED_OUT = -1e30


def refine_bytes_per_pixel(logits: Array, grid: NetworkGrid) -> int:
    """Give the working memory that `refined_labels` needs for each pixel of the map.

    Measured: 230 bytes for up to 8 labels that are likely anywhere, 490 for 21, 2800 for 150.

    Raises
    ------
    BackendFailed
        When the logits are not finite.
    """
    beyond = max(0, len(_kept(logits, grid)) - 8)
    return BYTES_PER_PIXEL + _BYTES_PER_LABEL * (beyond + -beyond % 8)


def refined_labels(
    logits: Array,
    pixels: Array,
    grid: NetworkGrid,
    options: DenseCrfOptions,
    *,
    align_corners: bool,
    stop: Callable[[], bool],
) -> LabelArray:
    """Interpolate the logits of labels that are likely anywhere, and refine them.

    Parameters
    ----------
    logits : float [C, h, w]
    pixels : uint8 [H, W, 3]
    grid : NetworkGrid
        Where the picture lies in the network's input.
    align_corners : bool
        Of the up-sampling.

    Returns
    -------
    labels : uint8 [H, W], uint16 above 256 classes

    Raises
    ------
    BackendFailed
        When the logits are not finite.
    InvalidInput
        When a standard deviation is too small for the picture, or a compatibility is not of C
        labels.
    Cancelled
        When `stop` says so.
    """
    kept = _kept(logits, grid)
    height, width = pixels.shape[:2]
    # labels that the model rules out at some pixels are -inf there, which has no difference
    planes = np.maximum(logits[kept].astype(np.float32, copy=False), np.float32(_RULED_OUT))
    sides = (
        (planes.shape[1], grid.height_px, grid.valid_height_px, height),
        (planes.shape[2], grid.width_px, grid.valid_width_px, width),
    )
    for axis, side in enumerate(sides, 1):
        low, share = _positions(*side, align_corners=align_corners)
        planes = _between(planes, axis, low, share)
    options = replace(
        options,
        gaussian_compat=of_labels(options.gaussian_compat, len(logits), kept),
        bilateral_compat=of_labels(options.bilateral_compat, len(logits), kept),
    )
    q = dense_crf(pixels, unary_from_logits(planes), options, stop=stop)
    dtype = np.uint8 if len(logits) <= _MAX_LABELS_U8 else np.uint16
    labels: LabelArray = kept.astype(dtype)[q.argmax(axis=0)]
    return labels


def _kept(logits: Array, grid: NetworkGrid) -> npt.NDArray[np.int64]:
    try:
        return _likely(logits, grid)
    except InvalidInput as error:
        raise BackendFailed(f"the model's logits cannot be refined: {error.message}") from error


def _likely(logits: Array, grid: NetworkGrid) -> npt.NDArray[np.int64]:
    """Find the labels that are at least 1 % likely at any logit that the picture covers.

    Of more than a hundred labels none may be: then it is one by their number, which one always is.
    """
    rows = valid_count(logits.shape[1], grid.height_px, grid.valid_height_px)
    columns = valid_count(logits.shape[2], grid.width_px, grid.valid_width_px)
    unary = unary_from_logits(logits[:, :rows, :columns])
    least = min(_LIKELY, 0.999 / len(logits))
    return np.flatnonzero(unary.min(axis=(1, 2)) <= -np.log(least))


def _positions(
    size: int, network_px: int, valid_px: int, out_px: int, *, align_corners: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Give the lower logit of each output pixel and the share of the next one."""
    network = (np.arange(out_px) + 0.5) * (valid_px / out_px) - 0.5
    if align_corners:
        source = network * ((size - 1) / max(network_px - 1, 1))
    else:
        source = (network + 0.5) * (size / network_px) - 0.5
    source = np.clip(source, 0, valid_count(size, network_px, valid_px) - 1)
    low = source.astype(np.int64)
    return low, (source - low).astype(np.float32)


def _between(
    planes: npt.NDArray[np.float32],
    axis: int,
    low: npt.NDArray[np.int64],
    share: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    high = np.minimum(low + 1, planes.shape[axis] - 1)
    below: npt.NDArray[np.float32] = planes.take(low, axis=axis)
    step: npt.NDArray[np.float32] = planes.take(high, axis=axis)
    step -= below
    step *= share[:, None] if axis == 1 else share
    step += below
    return step
