"""Compile or load every kernel before the first request needs it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from segserve.ops import (
    argmax,
    argmax_two_step,
    components,
    contours,
    crf,
    full_masks,
    masks,
    polygons,
    prototypes,
    resize,
    resize_opencv,
    resize_pillow,
    resize_torch,
    rle,
    rle_sets,
)
from segserve.ops.kernel_cache import KernelCache, compiled_now, kernel_cache


@dataclass(frozen=True)
class WarmedKernels:
    """What getting the kernels ready took.

    Parameters
    ----------
    seconds : float
    compiled : int
        Kernels that the cache did not have.
    cache : KernelCache
    """

    seconds: float
    compiled: int
    cache: KernelCache


def warm_kernels() -> WarmedKernels:
    """Load every compiled kernel and run each once.

    Signatures are fixed in the kernels, so nothing is left to be compiled by a request. Takes
    tens of seconds with an empty cache, well below one second with a filled one.
    """
    start_s = time.perf_counter()
    _run_all()
    return WarmedKernels(time.perf_counter() - start_s, compiled_now(), kernel_cache())


def _run_all() -> None:
    for classes in (2, 257):
        logits = np.random.default_rng(0).random((classes, 4, 4), dtype=np.float32)
        labels = argmax.upsample_argmax(logits, 16, 16)
        argmax_two_step.upsample_argmax_two_step(logits, argmax.NetworkGrid(16, 16, 9, 9), 8, 8)
        (mask,) = rle.label_map_to_rles(labels, (1,))
        rle.decode(mask)
        rle.to_bbox(mask)
    soft, boxes = np.ones((1, 4, 4), dtype=np.float32), np.ones((1, 4), dtype=np.float32)
    masks.paste_boxes_to_rle(soft, boxes, 8, 8)
    masks.paste_expanded_boxes_to_rle(soft, boxes, 8, 8)
    prototypes.assemble_prototypes_to_rle(np.ones((4, 4, 1), np.float32), boxes[:, :1], boxes, 8, 8)
    full_masks.resize_masks_to_rle(soft, (8, 8), (8, 8), (8, 8))
    components.fill_holes(rle_sets.union((mask, mask)))
    polygons.fill_polygons_to_rle(np.zeros((1, 1, 2), dtype=np.int64), 8, 8)
    contours.rle_to_contours(rle.encode(np.ones((9, 9), dtype=np.uint8)), tolerance_px=1)
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for size in ((8, 8), (4, 4), (12, 12)):
        out = np.empty((3, *size), dtype=np.float32)
        rule = resize.Normalisation()
        resize.resize_normalise(pixels, out, rule, size)
        resize_opencv.resize_normalise_opencv(pixels, out, rule, size)
        resize_pillow.resize_normalise_pillow(pixels, out, rule, size)
        resize_torch.resize_normalise_torch(pixels, out, rule, size, normalise_first=True)
    for mode in ("exact", "fast"):
        crf.dense_crf(pixels, np.ones((2, 8, 8), np.float32), crf.DenseCrfOptions(mode=mode))
