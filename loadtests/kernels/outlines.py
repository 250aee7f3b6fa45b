"""Outlines, components and set operations on RLE against OpenCV and pycocotools on pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from loadtests.kernels import libraries, scenes
from loadtests.kernels.agreement import equal, same_bytes
from loadtests.kernels.case import KernelCase
from segserve.core.regions import Rle
from segserve.ops import rle
from segserve.ops.components import remove_small_components
from segserve.ops.contours import Contour, rle_to_contours
from segserve.ops.masks import areas, paste_boxes_to_rle
from segserve.ops.polygons import fill_polygons_to_rle
from segserve.ops.rle_sets import iou, union

PICTURE = (800, 1333)
COUNT = 100
SMALL_PX = 50
Work = Callable[[], Any]


def cases() -> Sequence[KernelCase]:
    """Give all cases on outlines and sets."""
    masks = paste_boxes_to_rle(
        scenes.soft_blobs(COUNT, 28), scenes.boxes(COUNT, *PICTURE), *PICTURE
    )
    return [_fill(), _outlines(masks), _small_parts(), _iou(masks), _union(masks), _areas(masks)]


def _fill() -> KernelCase:
    angle = np.arange(36) * np.pi / 18
    rays = np.random.default_rng(9).uniform(20, 200, (COUNT, 1)) * (1 + 0.2 * np.sin(5 * angle))
    corners = np.random.default_rng(10).uniform(0, 1, (COUNT, 1, 2)) * [PICTURE[1], PICTURE[0]]
    stars = np.stack([rays * np.cos(angle), rays * np.sin(angle)], axis=2) + corners
    contours = stars.astype(np.int64)
    (cv2, _), skipped = libraries.needs("cv2", "pycocotools.mask")

    def baseline() -> list[bytes]:
        encode = libraries.encoder()
        found = []
        for contour in contours.astype(np.int32):
            canvas = np.zeros(PICTURE, dtype=np.uint8)
            found.append(encode(cv2.drawContours(canvas, [contour[:, None]], -1, 1, cv2.FILLED)))
        return found

    ours = partial(fill_polygons_to_rle, contours, *PICTURE)
    name = f"PolarMask, {COUNT} contours of 36 to 800x1333"
    return KernelCase(name, None, None if skipped else baseline, ours, same_bytes, skipped)


def _outlines(masks: Sequence[Rle]) -> KernelCase:
    bitmaps = [np.ascontiguousarray(rle.decode(mask)) for mask in masks]
    (cv2,), skipped = libraries.needs("cv2")

    def baseline() -> list[list[Any]]:
        how = (cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        return [list(cv2.findContours(bitmap, *how)[0]) for bitmap in bitmaps]

    def ours() -> list[tuple[Contour, ...]]:
        return [rle_to_contours(mask) for mask in masks]

    def agreement(theirs: list[list[Any]], mine: list[tuple[Contour, ...]]) -> str:
        same = sum(
            {points[:, 0].astype(np.int64).tobytes() for points in found}
            == {contour.points.tobytes() for contour in own}
            for found, own in zip(theirs, mine, strict=True)
        )
        return f"{same}/{len(mine)} with the same points (theirs from bitmaps, ours from RLE)"

    name = f"outlines of {COUNT} masks 800x1333"
    return KernelCase(name, None, None if skipped else baseline, ours, agreement, skipped)


def _small_parts() -> KernelCase:
    bitmap = scenes.soft_ellipses(1, *PICTURE)[0] > 0.5  # noqa: PLR2004  the threshold
    speckles = np.random.default_rng(11).random((PICTURE[0] // 4 + 1, PICTURE[1] // 4 + 1)) < 0.004  # noqa: PLR2004  their share
    spread = np.kron(speckles, np.ones((4, 4), dtype=np.bool_))
    bitmap = bitmap | spread[: PICTURE[0], : PICTURE[1]]
    mask = rle.encode(bitmap)
    given = bitmap.astype(np.uint8)
    (cv2, _), skipped = libraries.needs("cv2", "pycocotools.mask")

    def baseline() -> list[bytes]:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(given, connectivity=8)
        kept = stats[:, cv2.CC_STAT_AREA] >= SMALL_PX
        kept[0] = False
        return [libraries.encoder()(kept[labels])]

    def ours() -> list[Rle]:
        return [remove_small_components(mask, SMALL_PX)]

    name = f"parts under {SMALL_PX} px removed, one mask 800x1333"
    return KernelCase(name, None, None if skipped else baseline, ours, same_bytes, skipped)


def _coco(masks: Sequence[Rle]) -> list[dict[str, object]]:
    return [mask.to_coco() for mask in masks]


def _iou(masks: Sequence[Rle]) -> KernelCase:
    (coco,), skipped = libraries.needs("pycocotools.mask")
    given = _coco(masks)
    baseline = None if skipped else lambda: coco.iou(given, given, [0] * len(given))
    ours = partial(iou, masks, masks)
    return KernelCase(f"IoU of {COUNT} x {COUNT} RLE", None, baseline, ours, equal, skipped)


def _union(masks: Sequence[Rle]) -> KernelCase:
    (coco,), skipped = libraries.needs("pycocotools.mask")
    given = _coco(masks)
    baseline = None if skipped else lambda: [coco.merge(given)["counts"]]

    def ours() -> list[Rle]:
        return [union(masks)]

    return KernelCase(f"union of {COUNT} RLE", None, baseline, ours, same_bytes, skipped)


def _areas(masks: Sequence[Rle]) -> KernelCase:
    (coco,), skipped = libraries.needs("pycocotools.mask")
    given = _coco(masks)
    baseline = None if skipped else lambda: coco.area(given)
    ours = partial(areas, masks)
    return KernelCase(f"areas of {COUNT} RLE", None, baseline, ours, equal, skipped)
