"""Compile or load every kernel before the first request needs it."""

from __future__ import annotations

import tempfile
import time

import numpy as np

from segserve.core.errors import BackendFailed
from segserve.ops import argmax, masks, resize, rle


def warm_kernels() -> float:
    """Load every compiled kernel and run each once.

    Signatures are fixed in the kernels, so nothing is left to be compiled by a request. Takes
    tens of seconds with an empty cache, well below one second with a filled one.

    Returns
    -------
    seconds : float

    Raises
    ------
    BackendFailed
        When no folder for compiled code can be written.
    """
    start_s = time.perf_counter()
    try:
        _run_all()
    except RuntimeError:
        _run_all_with_cache_in(tempfile.mkdtemp(prefix="segserve-kernels-"))
    return time.perf_counter() - start_s


def _run_all_with_cache_in(folder: str) -> None:
    """Try again where numba found no folder that it may write: a read-only tree, no home."""
    from numba import config  # noqa: PLC0415  heavy: opens late

    config.CACHE_DIR = folder  # type: ignore[attr-defined]  # numba sets its settings at import
    try:
        _run_all()
    except RuntimeError as error:
        raise BackendFailed(
            f"the compiled kernels cannot be loaded: {error}: set NUMBA_CACHE_DIR to a folder "
            f"that this user may write"
        ) from error


def _run_all() -> None:
    for classes in (2, 257):
        logits = np.random.default_rng(0).random((classes, 4, 4), dtype=np.float32)
        labels = argmax.upsample_argmax(logits, 16, 16)
        (mask,) = rle.label_map_to_rles(labels, (1,))
        rle.decode(mask)
        rle.to_bbox(mask)
    soft, boxes = np.ones((1, 4, 4), dtype=np.float32), np.ones((1, 4), dtype=np.float32)
    masks.paste_boxes_to_rle(soft, boxes, 8, 8)
    masks.paste_expanded_boxes_to_rle(soft, boxes, 8, 8)
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for size in ((8, 8), (4, 4), (12, 12)):
        out = np.empty((3, *size), dtype=np.float32)
        resize.resize_normalise(pixels, out, resize.Normalisation(), size)
