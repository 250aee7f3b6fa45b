"""The fast mode: mean field on every second pixel of both axes, then all pixels where in doubt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.ops.crf.field import Message, aligned, groups_of
from segserve.ops.crf.lattice import Floats, Image8, Lattice
from segserve.ops.crf.options import DenseCrfOptions

STEP_PX = 2
"""Of the pixels that stand for all. A smoothness of at least as much is wide: the pixels between
are like those around."""
_NARROWEST_PX = 1.0
_SWEEPS = 2  # over pixels in doubt, where the smoothness is narrow
_REACH_SIGMAS = 3  # of the window that a sweep sums over
_PAIRS_RANK = 2
_SURE = 0.9
_MOST_UNSURE = 0.1


def _kernel() -> Any:
    from segserve.ops.crf import half_kernel  # noqa: PLC0415  numba opens late

    return half_kernel


def every_second(logits: Floats, size: tuple[int, int], width: int) -> Floats | None:
    """Pick every second pixel of both axes, where these can stand for the others.

    They cannot where many pixels leave much to their neighbours: where more than a tenth of them
    are less than 90 % sure by their unary terms, answers were seen to differ from those of all
    pixels at more than half a percent of them.

    Parameters
    ----------
    logits : float32 [H * W * width]
        Minus the unary terms.
    size : (H, W)

    Returns
    -------
    fewer : float32 [ceil(H / 2) * ceil(W / 2) * width] or None
    """
    some = logits.reshape(*size, width)[::STEP_PX, ::STEP_PX]
    fewer = aligned(some.size, cleared=False)
    fewer.reshape(some.shape)[:] = some
    unsure = _kernel().unsure(fewer, groups_of(width, straight=1), np.float32(_SURE))
    return fewer if unsure * width <= _MOST_UNSURE * fewer.size else None


def smoothness_at_half(sxy_px: float) -> float:
    """Give the smoothness of every second pixel that is like one of `sxy_px` among all.

    Each stands for those between, as if these were drawn by straight lines: a tent of twice
    the step, whose variance adds to that of a narrow Gaussian.
    """
    return sxy_px if _is_wide(sxy_px) else math.sqrt(sxy_px**2 + STEP_PX**2 / 6)


def can_halve(options: DenseCrfOptions) -> bool:
    """Whether the mode can do with such a smoothness.

    Narrower than a pixel, answers were seen to differ at more than half a percent of the pixels;
    and what computes pixels anew for a narrow one (`enlarge`) knows no pairs of labels.
    """
    if np.ndim(options.gaussian_compat) == _PAIRS_RANK:
        return _is_wide(options.gaussian_sxy_px)
    return options.gaussian_sxy_px >= _NARROWEST_PX


def _is_wide(sxy_px: float) -> bool:
    """Whether pixels between two are like those around, by smoothness alone."""
    return sxy_px >= STEP_PX


def enlarge(
    image: Image8,
    logits: Floats,
    beliefs: Floats,
    bilateral: Message,
    gaussian: Message,
    options: DenseCrfOptions,
) -> Floats:
    """Give beliefs of all pixels from those of every second one.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    logits : float32 [H * W * width]
        Minus the unary terms of all pixels.
    beliefs : float32 [ceil(H / 2) * ceil(W / 2) * width]
    bilateral, gaussian : Message
        After the last iteration, so that their vertices hold what was sliced last.
    options : DenseCrfOptions
        Where the smoothness is narrow, pixels in doubt are computed anew, twice, with the sum over
        all pixels around them in place of the lattice.

    Returns
    -------
    rows : float32 [H * W * width]
    """
    kernel = _kernel()
    height, columns = image.shape[:2]
    width = bilateral.width
    labels = np.empty(len(beliefs) // width, np.int32)
    tops = np.empty(len(labels), np.float32)
    kernel.choose(beliefs, width, labels, tops)
    rows = aligned(len(logits), cleared=False)
    doubtful = np.empty(height * columns, np.int32)
    count = kernel.enlarge(
        beliefs, labels, tops, width, logits, height, columns, rows, doubtful
    )  # fmt: skip
    doubtful, groups = doubtful[:count], groups_of(width, straight=1)
    sxy_px = options.gaussian_sxy_px
    is_done = _is_wide(sxy_px) or options.iterations == 0
    bases = aligned(0 if is_done else count * width, cleared=False)
    kernel.resolve(
        image, doubtful, logits, groups, *_where(bilateral), *_where(gaussian), bases, rows
    )
    if len(bases):
        weights = np.zeros(width, np.float32)
        weights[: len(gaussian.weights)] = gaussian.weights
        down, across = _gaussians(height, sxy_px), _gaussians(columns, sxy_px)
        for _ in range(_SWEEPS):
            kernel.smooth(doubtful, bases, weights, down, across, groups, rows)
    return rows


def _gaussians(count: int, sxy_px: float) -> npt.NDArray[np.float32]:
    """Give each of `count` places its Gaussian, normalised symmetrically; [count, taps]."""
    reach = math.ceil(_REACH_SIGMAS * sxy_px)
    offsets = np.arange(-reach, reach + 1)
    places = np.arange(count)[:, None] + offsets
    taps = np.exp(-0.5 * (offsets / sxy_px) ** 2) * ((places >= 0) & (places < count))
    norms = 1 / np.sqrt(taps.sum(axis=1))
    taps *= norms[:, None] * norms[np.clip(places, 0, count - 1)]
    return taps.astype(np.float32)


def _where(message: Message) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    lattice: Lattice = message.lattice
    embedding = lattice.embedding
    return (embedding.sigmas, embedding.factors, embedding.strides), (
        lattice.keys, lattice.table, lattice.numbers, lattice.ones, message.values, lattice.bits,
        np.float32(lattice.gain),
    )  # fmt: skip
