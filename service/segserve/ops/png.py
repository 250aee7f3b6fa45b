"""Label maps as PNG: a palette image up to 256 ids, 16-bit grey above."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np

from segserve.core.errors import InvalidInput
from segserve.core.tensor import Array

_RANK = 2
_FAST = 1

Palette = tuple[tuple[int, int, int], ...]


@cache
def voc_palette() -> Palette:
    """Give PASCAL VOC's 256 colours: the bits of the index, spread over the three channels."""
    colours = np.zeros((256, 3), dtype=np.int64)
    for index in range(256):
        for bit in range(8):
            colours[index, bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return tuple((r, g, b) for r, g, b in colours.tolist())


def encode_label_png(labels: Array, palette: Palette | None = None) -> bytes:
    """Encode a label map; pixel values are the ids, whatever the colours.

    Parameters
    ----------
    labels : uint8 or uint16 [H, W]
    palette : tuple of (r, g, b), optional
        Colour of each id from 0 on; ids beyond it, and the default, take PASCAL VOC's.

    Returns
    -------
    png : bytes

    Raises
    ------
    InvalidInput
        On another dtype or rank, or an empty map.
    """
    from PIL import Image  # noqa: PLC0415  opens late

    if labels.ndim != _RANK or labels.size == 0 or labels.dtype not in (np.uint8, np.uint16):
        raise InvalidInput(
            f"a label map must be uint8 or uint16 [H, W] and not empty, got {labels.dtype} "
            f"{list(labels.shape)}"
        )
    image = Image.fromarray(np.ascontiguousarray(labels))
    if labels.dtype == np.uint8:
        given = palette or ()
        colours = (*given, *voc_palette()[len(given) :])
        image.putpalette([channel for colour in colours[:256] for channel in colour])
    out = BytesIO()
    image.save(out, "PNG", compress_level=_FAST)
    return out.getvalue()
