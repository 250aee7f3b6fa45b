"""The fully connected CRF of Kraehenbuehl and Koltun 2011, by mean field on permutohedral lattices.

Equal to pydensecrf's ``DenseCRF2D`` with ``NORMALIZE_SYMMETRIC`` in mode ``exact``; docs/crf.md
says how close the other modes come and what each costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.ops.crf.field import EXACT, LAZY, Message, aligned, ask, infer, padded
from segserve.ops.crf.half import STEP_PX, can_halve, enlarge, every_second, smoothness_at_half
from segserve.ops.crf.lattice import Floats, Image8, bilateral_lattice, gaussian_lattice
from segserve.ops.crf.options import CrfMode, DenseCrfOptions, weights_of

_PRUNED_BELOW = 0.01
_IMAGE_RANK, _COLOURS = 3, 3


def _kernel() -> Any:
    from segserve.ops.crf import field_kernel  # noqa: PLC0415  numba opens late

    return field_kernel


def dense_crf(
    image: Image8,
    unary: Floats,
    options: DenseCrfOptions | None = None,
    *,
    stop: Callable[[], bool] | None = None,
) -> Floats:
    """Refine a labelling by position and colour.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    unary : float32 [C, H, W]
        Negative log probabilities (`segserve.ops.crf.unary` makes them); any energies will do, up
        to 1e30 either way, they need not be normalised.
    options : DenseCrfOptions, optional
    stop : callable, optional
        Asked before each lattice is built and between iterations.

    Returns
    -------
    q : float32 [C, H, W]
        Beliefs: for each pixel they sum to 1.

    Raises
    ------
    InvalidInput
        On wrong shapes or dtypes, or unaries that are not finite.
    Cancelled
        When `stop` says so.
    """
    options = options or DenseCrfOptions()
    image, unary = _checked(image, unary)
    planes = unary.reshape(len(unary), -1)
    kept = _kept(planes, prune=options.mode != CrfMode.EXACT.value)
    rows, logits = _refine(image, planes, kept, options, stop)
    if len(kept) == len(planes):
        q = logits[: planes.size].reshape(planes.shape)  # which nobody reads any more
    else:
        q = np.zeros(planes.shape, np.float32)
    _kernel().scatter(rows, kept, padded(len(kept)), q)
    return q.reshape(unary.shape)


def _checked(image: Image8, unary: Floats) -> tuple[Image8, Floats]:
    if image.dtype != np.uint8 or image.ndim != _IMAGE_RANK or image.shape[2] != _COLOURS:
        raise InvalidInput(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if unary.ndim != _IMAGE_RANK or unary.dtype.kind != "f" or 0 in unary.shape:
        raise InvalidInput(
            f"unary must be float32 [C, H, W] with no empty axis, got {unary.dtype} "
            f"{list(unary.shape)}"
        )
    if unary.shape[1:] != image.shape[:2]:
        raise InvalidInput(
            f"unary must have the image's size {list(image.shape[:2])}, got {list(unary.shape[1:])}"
        )
    return np.ascontiguousarray(image), np.ascontiguousarray(unary, dtype=np.float32)


def _kept(planes: Floats, *, prune: bool) -> npt.NDArray[np.int64]:
    """Give the labels to work with: of any pixel at least the likeliest one."""
    kept = np.full(len(planes), not prune)
    below = min(_PRUNED_BELOW, 0.999 / len(planes))  # of more than a hundred, all may be unlikely
    if not _kernel().scan(planes, np.float32(below), kept):
        raise InvalidInput(
            "unary must be finite, got NaN or infinity: clip probabilities above 0 before the "
            "logarithm"
        )
    return np.flatnonzero(kept)


def _refine(
    image: Image8,
    planes: Floats,
    kept: npt.NDArray[np.int64],
    options: DenseCrfOptions,
    stop: Callable[[], bool] | None,
) -> tuple[Floats, Floats]:
    """Give the beliefs of the kept labels, pixel by pixel, and minus their unary terms."""
    width = padded(len(kept))
    logits = aligned(planes.shape[1] * width, cleared=False)
    _kernel().gather(planes, kept, width, logits)
    fewer = None
    if options.mode == CrfMode.FAST.value and can_halve(options):
        fewer = every_second(logits, image.shape[:2], width)
    bilateral, gaussian = _messages(
        image, options, len(planes), kept, step_px=1 if fewer is None else STEP_PX, stop=stop
    )
    iterations = options.iterations
    tolerance = EXACT if options.mode == CrfMode.EXACT.value else LAZY
    if fewer is None:
        rows = infer(logits, bilateral, gaussian, iterations, tolerance=tolerance, stop=stop)
        return rows, logits
    rows = infer(fewer, bilateral, gaussian, iterations, tolerance=tolerance, stop=stop)
    return enlarge(image, logits, rows, bilateral, gaussian, options), logits


def _messages(
    image: Image8,
    options: DenseCrfOptions,
    labels: int,
    kept: npt.NDArray[np.int64],
    *,
    step_px: int,
    stop: Callable[[], bool] | None,
) -> tuple[Message, Message]:
    """Give the appearance term and the smoothness term."""
    ask(stop)
    near = bilateral_lattice(
        image, options.bilateral_sxy_px, options.bilateral_srgb, step_px=step_px
    )
    ask(stop)
    height, width = image.shape[:2]
    sxy_px = options.gaussian_sxy_px
    if step_px > 1:
        sxy_px = smoothness_at_half(sxy_px)
    close = gaussian_lattice(height, width, sxy_px, step_px)
    return (
        Message(near, weights_of(options.bilateral_compat, labels, kept)),
        Message(close, weights_of(options.gaussian_compat, labels, kept)),
    )
