"""Active contours without edges, by morphology: two regions of even intensity.

Chan and Vese, IEEE Trans. Image Processing 10(2), 2001; Marquez-Neila, Baumela and Alvarez, IEEE
TPAMI 36(1), 2014. `evolve` gives bit for bit what ``morphological_chan_vese`` of scikit-image
(skimage/segmentation/morphsnakes.py) gives in a new process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array
from segserve.ops.classical.features import intensity
from segserve.ops.classical.options import checked, choice, real, whole
from segserve.ops.classical.segmentation import (
    NO_PROMPTS,
    Labels,
    Prompts,
    Stop,
    check_box,
    check_image,
    check_stop,
    is_constant,
    never,
)

_LEVELS = np.arange(256, dtype=np.float64)
_WORD_BITS = 64
_SQUARE_PX = 5
_DISK_SHARE = 3 / 8
_ALMOST_NOTHING = 1e-8
_CYCLE = 2  # rounds after which a settled mask comes back: smoothing takes turns

Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ChanVeseOptions:
    """Options of morphological Chan-Vese."""

    start: str = choice(("checkerboard", "disk"), "the first region, where no box is given")
    iterations: int = whole(100, 1, 2000, "rounds at most")
    smoothing: int = whole(1, 0, 10, "times that the border is smoothed in a round")
    lambda1: float = real(1.0, 0, 1000, "weight of even intensity inside")
    lambda2: float = real(1.0, 0, 1000, "weight of even intensity outside")


def _kernel() -> Any:
    from segserve.ops.classical import chan_vese_kernel  # noqa: PLC0415  numba opens late

    return chan_vese_kernel


def chan_vese(
    image: Array, options: ChanVeseOptions, prompts: Prompts = NO_PROMPTS, *, stop: Stop = never
) -> Labels:
    """Part an image into two regions of even intensity with a smooth border.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    prompts : Prompts
        ``box``: the first region, which becomes the object.
    stop : callable
        Asked between rounds.

    Returns
    -------
    labels : int32 [H, W]
        1 for the object, 0 around it; all 0 when one of the two has nothing left. From a
        checkerboard, which knows no object, it is the region that has less of the image's border.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    options = checked(options)
    begin = _beginning(image, options, prompts)
    if is_constant(image):
        return np.zeros(image.shape[:2], np.int32)
    grey = np.rint(intensity(image)).astype(np.uint8)
    mask = evolve(grey, begin, options, stop=stop)
    if prompts.box is None and options.start == "checkerboard" and _share_of_border(mask) > 1 / 2:
        mask = ~mask
    return mask.astype(np.int32) if not mask.all() else np.zeros(mask.shape, np.int32)


def _beginning(image: Array, options: ChanVeseOptions, prompts: Prompts) -> Mask:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    if prompts.box is not None:
        left, top, right, bottom = check_box(prompts.box, image)
        mask = (x + 0.5 > left) & (x + 0.5 < right) & (y + 0.5 > top) & (y + 0.5 < bottom)
        if not mask.any():
            raise InvalidInput(
                f"box {prompts.box.tolist()} holds no pixel of the image of {width} x {height} "
                "pixels"
            )
    elif options.start == "disk":
        away = np.sqrt((y - height // 2) ** 2 + (x - width // 2) ** 2)
        mask = min(height, width) * _DISK_SHARE - away > 0
    else:
        mask = ((y // _SQUARE_PX) & 1) != ((x // _SQUARE_PX) & 1)
    return np.asarray(mask, dtype=np.bool_)


def _share_of_border(mask: Mask) -> float:
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(border.mean())


def evolve(grey: Grey, begin: Mask, options: ChanVeseOptions, *, stop: Stop = never) -> Mask:
    """Let a region grow and shrink for `iterations` rounds, those left out that change nothing.

    Parameters
    ----------
    grey : uint8 [H, W]
        C-contiguous.
    begin : bool [H, W]
    stop : callable
        Asked between rounds.

    Returns
    -------
    mask : bool [H, W]
    """
    width = grey.shape[1]
    mask = _packed(begin)
    inside = np.array([begin.sum(), grey[begin].sum(dtype=np.int64)], np.int64)
    total = np.array([grey.size, grey.sum(dtype=np.int64)], np.int64)
    smoothed, earlier = 0, mask
    for left in reversed(range(options.iterations)):
        check_stop(stop)
        after = np.empty_like(mask)
        _kernel().attach(mask, grey, _wanted(inside, total - inside, options), after)
        for _ in range(options.smoothing):
            after = _smoothed(after, width, opens=smoothed % 2 == 1)
            smoothed += 1
        _kernel().tally(mask, after, grey, inside)
        repeats = np.array_equal(after, earlier)
        earlier, mask = mask, after
        if repeats and left % _CYCLE == 0:
            break
    return _unpacked(mask, width)


def _wanted(
    inside: npt.NDArray[np.int64], outside: npt.NDArray[np.int64], options: ChanVeseOptions
) -> npt.NDArray[np.int8]:
    """Say for every grey level whether it is nearer to the inside: 1, to the outside: 0, or -1."""
    mean_in, mean_out = (side[1] / (side[0] + _ALMOST_NOTHING) for side in (inside, outside))
    cost = options.lambda1 * (_LEVELS - mean_in) ** 2 - options.lambda2 * (_LEVELS - mean_out) ** 2
    return np.where(cost < 0, 1, np.where(cost > 0, 0, -1)).astype(np.int8)


def _smoothed(mask: Words, width: int, *, opens: bool) -> Words:
    """Erode and dilate by short lines, or the other way round."""
    for grows in (False, True) if opens else (True, False):
        out = np.empty_like(mask)
        _kernel().smooth(mask, width, grows, out)
        mask = out
    return mask


def _packed(mask: Mask) -> Words:
    """Put a row's pixels into words of 64, the first in the lowest bit."""
    missing = -mask.shape[1] % _WORD_BITS
    octets = np.packbits(np.pad(mask, ((0, 0), (0, missing))), axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def _unpacked(words: Words, width: int) -> Mask:
    octets = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=1, count=width, bitorder="little").astype(np.bool_)
