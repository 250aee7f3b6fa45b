"""The fast mode: mean field on every second pixel of both axes, then all pixels where in doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from segserve.ops.crf.field import Message, aligned, groups_of
from segserve.ops.crf.lattice import Floats, Image8, Lattice

STEP_PX = 2
"""A smoothness term must be at least as wide, or the pixels between are not like those around."""

_SURE = 0.9
_MOST_UNSURE = 0.2


def _kernel() -> Any:
    from segserve.ops.crf import half_kernel  # noqa: PLC0415  numba opens late

    return half_kernel


def every_second(logits: Floats, size: tuple[int, int], width: int) -> Floats | None:
    """Pick every second pixel of both axes, where these can stand for the others.

    They cannot where many pixels leave much to their neighbours: where more than a fifth of them
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


def enlarge(
    image: Image8, logits: Floats, beliefs: Floats, bilateral: Message, gaussian: Message
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
    kernel.resolve(
        image, doubtful[:count], logits, groups_of(width, straight=1), *_where(bilateral),
        *_where(gaussian), rows,
    )  # fmt: skip
    return rows


def _where(message: Message) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    lattice: Lattice = message.lattice
    embedding = lattice.embedding
    return (embedding.sigmas, embedding.factors, embedding.strides), (
        lattice.keys, lattice.table, lattice.numbers, lattice.ones, message.values, lattice.bits,
        np.float32(lattice.gain),
    )  # fmt: skip
