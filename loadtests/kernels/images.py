"""From a JPEG's bytes to a network's input, against Pillow and numpy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.kernels import libraries, scenes
from loadtests.kernels.case import KernelCase
from segserve.ops.image import decode
from segserve.ops.resize import Normalisation, resize_normalise

SIDE = 513
RULE = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), divisor=255)
GREY_LEVEL = 1 / (255 * 0.225)
GOAL = 4.5


def cases() -> Sequence[KernelCase]:
    """Give the cases on JPEG: a small picture, and one of 1080 lines."""
    return [_jpeg(375, 500), _jpeg(1080, 1920)]


def _bytes_of(height: int, width: int) -> bytes:
    """Encode a picture to some 1.5 bits a pixel, as photographs have."""
    from PIL import Image  # noqa: PLC0415  opens late

    rows, columns = -(-height // 4), -(-width // 4)
    picture = Image.fromarray(scenes.photograph(rows, columns))
    large = picture.resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    large.save(out, "JPEG", quality=92)
    return out.getvalue()


def _jpeg(height: int, width: int) -> KernelCase:
    data = _bytes_of(height, width)
    mean, std = (np.array(three, dtype=np.float32) for three in (RULE.mean, RULE.std))
    (pillow,), skipped = libraries.needs("PIL.Image")

    def baseline() -> npt.NDArray[np.float32]:
        picture = pillow.open(io.BytesIO(data)).convert("RGB")
        resized = picture.resize((SIDE, SIDE), pillow.Resampling.BILINEAR)
        levels = np.asarray(resized, dtype=np.float32) / 255
        return np.ascontiguousarray(((levels - mean) / std).transpose(2, 0, 1))

    def ours() -> npt.NDArray[np.float32]:
        out = np.empty((3, SIDE, SIDE), dtype=np.float32)
        pixels = decode(data, min_size_px=(SIDE, SIDE))
        resize_normalise(pixels, out, RULE, (SIDE, SIDE))
        return out

    def agreement(theirs: Any, mine: Any) -> str:
        levels = float(np.abs(theirs - mine).mean()) / GREY_LEVEL
        return f"{levels:.1f} grey levels apart on average (theirs is antialiased)"

    name = f"JPEG {width}x{height} ({len(data) // 1000} KB) to 3x{SIDE}x{SIDE} float32"
    return KernelCase(name, GOAL, None if skipped else baseline, ours, agreement, skipped)
