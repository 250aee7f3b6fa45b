"""Compile or load kernels before the first request needs them, by groups that models need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segserve.core.regions import Rle
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
from segserve.ops.kernel_cache import CacheKind, KernelCache, compiled_now, kernel_cache


class KernelGroup(StrEnum):
    """Kernels that are needed together; what others wait for and what takes longest stand first.

    Those behind `IMAGES` are segmenters without weights, by their names in the catalogue.
    """

    RUNS = "runs"
    SETS = "sets"
    CRF = "crf"
    POLYGONS = "polygons"
    MASKS = "masks"
    LABEL_MAPS = "label_maps"
    OUTLINES = "outlines"
    IMAGES = "images"
    KMEANS = "kmeans"
    SLIC = "slic"
    GMM = "gmm"
    FELZENSZWALB = "felzenszwalb"
    SNAKE = "snake"
    GRAPH_CUT = "graph_cut"
    SELECTIVE_SEARCH = "selective_search"
    MEAN_SHIFT = "mean_shift"
    CHAN_VESE = "chan_vese"
    RANDOM_WALKER = "random_walker"
    TEXTON = "texton"
    NORMALIZED_CUT = "normalized_cut"


NEEDS: Mapping[KernelGroup, tuple[KernelGroup, ...]] = {
    KernelGroup.POLYGONS: (KernelGroup.RUNS,),
    KernelGroup.SETS: (KernelGroup.RUNS,),
    KernelGroup.MASKS: (KernelGroup.RUNS, KernelGroup.SETS, KernelGroup.POLYGONS),
    KernelGroup.LABEL_MAPS: (KernelGroup.RUNS,),
    KernelGroup.OUTLINES: (KernelGroup.RUNS, KernelGroup.SETS),
    KernelGroup.GMM: (KernelGroup.KMEANS,),
    KernelGroup.GRAPH_CUT: (KernelGroup.KMEANS, KernelGroup.GMM),
    KernelGroup.TEXTON: (KernelGroup.KMEANS,),
    KernelGroup.SNAKE: (KernelGroup.RUNS, KernelGroup.POLYGONS),
    KernelGroup.SELECTIVE_SEARCH: (KernelGroup.FELZENSZWALB,),
    KernelGroup.MEAN_SHIFT: (KernelGroup.SLIC,),
    KernelGroup.NORMALIZED_CUT: (KernelGroup.SLIC,),
}
"""All groups whose kernels a group calls too: compiled before it, they are compiled once."""


@dataclass(frozen=True)
class WarmedKernels:
    """What getting the kernels ready took.

    Parameters
    ----------
    seconds : float
    compiled : int
        Kernels that the cache did not have.
    cache : KernelCache
    stale : bool
        The cache had some of them, for another CPU or another version; known to whoever asked
        (`stale_groups`) before they were compiled.
    """

    seconds: float
    compiled: int
    cache: KernelCache
    stale: bool = False


def warm_kernels(groups: Iterable[KernelGroup] = tuple(KernelGroup)) -> WarmedKernels:
    """Load every kernel of some groups and run each once.

    Signatures are fixed in the kernels, so nothing is left to be compiled by a request. Takes up
    to two minutes for all groups with an empty cache, about two seconds with a filled one.
    """
    start_s = time.perf_counter()
    before = compiled_now()
    for group in groups:
        _RUNS.get(group, partial(_run_segmenter, group))()
        _probe(group)()
    return WarmedKernels(time.perf_counter() - start_s, compiled_now() - before, kernel_cache())


def with_needs(groups: Iterable[KernelGroup]) -> tuple[KernelGroup, ...]:
    """Give some groups and those that they need, in the order of `KernelGroup`."""
    wanted = set(groups)
    wanted.update(need for group in tuple(wanted) for need in NEEDS.get(group, ()))
    return tuple(group for group in KernelGroup if group in wanted)


def missing_groups(groups: Iterable[KernelGroup]) -> tuple[KernelGroup, ...]:
    """Give those of some groups that the cache does not have, for this CPU and these versions."""
    return tuple(group for group in groups if not _is_cached(_probe(group)))


def stale_groups(groups: Iterable[KernelGroup]) -> tuple[KernelGroup, ...]:
    """Give those of some groups that the cache has for another CPU or another version alone."""
    if kernel_cache().kind is CacheKind.NONE:
        return ()
    return tuple(group for group in missing_groups(groups) if _index_of(_probe(group)).exists())


def _probe(group: KernelGroup) -> Any:
    """Give the empty kernel that is run, and so kept, once a group's kernels are."""
    from segserve.ops import probe_kernel  # noqa: PLC0415  opens numba

    return getattr(probe_kernel, group.value)


def _is_cached(kernel: Any) -> bool:
    """Whether the cache has a kernel without arguments; asking compiles and keeps nothing."""
    found = kernel._cache.load_overload((), kernel.targetctx)  # noqa: SLF001  numba has no other way to ask
    return found is not None


def _index_of(kernel: Any) -> Path:
    return Path(kernel._cache._cache_file._index_path)  # noqa: SLF001  numba has no other way to ask


_PIXELS = np.zeros((8, 8, 3), dtype=np.uint8)
_FULL = Rle(9, 9, b"0a2")


def _run_images() -> None:
    for size in ((8, 8), (4, 4), (12, 12)):
        out = np.empty((3, *size), dtype=np.float32)
        rule = resize.Normalisation()
        resize.resize_normalise(_PIXELS, out, rule, size)
        resize_opencv.resize_normalise_opencv(_PIXELS, out, rule, size)
        resize_pillow.resize_normalise_pillow(_PIXELS, out, rule, size)
        resize_torch.resize_normalise_torch(_PIXELS, out, rule, size, normalise_first=True)


def _run_segmenter(group: KernelGroup) -> None:
    from segserve.ops.classical.warm import warm_segmenter  # noqa: PLC0415  many modules

    warm_segmenter(group.value)


def _run_runs() -> None:
    rle.decode(_FULL)
    rle.encode(np.ones((1, 1), dtype=np.uint8))


def _run_sets() -> None:
    rle.to_bbox(rle_sets.union((_FULL, _FULL)))


def _run_polygons() -> None:
    polygons.fill_polygons_to_rle(np.zeros((1, 1, 2), dtype=np.int64), 8, 8)


def _run_label_maps() -> None:
    for classes in (2, 257):
        logits = np.random.default_rng(0).random((classes, 4, 4), dtype=np.float32)
        labels = argmax.upsample_argmax(logits, 16, 16)
        argmax_two_step.upsample_argmax_two_step(logits, argmax.NetworkGrid(16, 16, 9, 9), 8, 8)
        rle.label_map_to_rles(labels, (1,))


def _run_masks() -> None:
    soft, boxes = np.ones((1, 4, 4), dtype=np.float32), np.ones((1, 4), dtype=np.float32)
    pasted = masks.paste_boxes_to_rle(soft, boxes, 8, 8)
    masks.paste_expanded_boxes_to_rle(soft, boxes, 8, 8)
    prototypes.assemble_prototypes_to_rle(np.ones((4, 4, 1), np.float32), boxes[:, :1], boxes, 8, 8)
    full_masks.resize_masks_to_rle(soft, (8, 8), (8, 8), (8, 8))
    _run_polygons()
    masks.areas(pasted)
    masks.tight_boxes(pasted)


def _run_outlines() -> None:
    components.fill_holes(_FULL)
    contours.rle_to_contours(_FULL, tolerance_px=1)


def _run_crf() -> None:
    for mode in ("exact", "fast"):
        options = crf.DenseCrfOptions(mode=mode)
        crf.dense_crf(_PIXELS, np.ones((2, 8, 8), np.float32), options)


_RUNS: Mapping[KernelGroup, Callable[[], None]] = {
    KernelGroup.RUNS: _run_runs,
    KernelGroup.SETS: _run_sets,
    KernelGroup.CRF: _run_crf,
    KernelGroup.POLYGONS: _run_polygons,
    KernelGroup.MASKS: _run_masks,
    KernelGroup.LABEL_MAPS: _run_label_maps,
    KernelGroup.OUTLINES: _run_outlines,
    KernelGroup.IMAGES: _run_images,
}
"""How each group is run; the others are segmenters without weights."""
