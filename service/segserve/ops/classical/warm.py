"""Compile or load the kernels of the segmenters without weights."""

from __future__ import annotations

import numpy as np

from segserve.ops.classical.catalogue import SEGMENTERS

WARM_PIXELS = np.zeros((16, 16, 3), dtype=np.uint8)
WARM_PIXELS[4:12, 4:12] = (200, 120, 40)


def warm_segmenter(name: str) -> None:
    """Run one segmenter on a picture of a few pixels; its kernels are compiled or loaded then.

    Parameters
    ----------
    name : str
        One of `SEGMENTERS`.
    """
    segmenter = SEGMENTERS[name]
    segmenter.segment(WARM_PIXELS, segmenter.options())
