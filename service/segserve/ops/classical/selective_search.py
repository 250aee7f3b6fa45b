"""Selective search: proposals from merging a fine segmentation by colour, texture, size and fill.

Uijlings, van de Sande, Gevers and Smeulders, IJCV 104(2), 2013; one colour space and one scale.
Later (larger) merges come first, where the paper shuffles ranks at random.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.features import gradients, lab
from segserve.ops.classical.felzenszwalb import FelzenszwalbOptions, felzenszwalb
from segserve.ops.classical.options import checked, real, whole
from segserve.ops.classical.regions import neighbour_pairs
from segserve.ops.classical.segmentation import (
    Floats,
    Labels,
    Segmentation,
    Stop,
    check_image,
    check_stop,
    is_constant,
    never,
)

_COLOUR_BINS = 25
_DIRECTIONS, _STRENGTH_BINS = 8, 10
_MAX_REGIONS = 600


@dataclass(frozen=True)
class SelectiveSearchOptions:
    """Options of selective search."""

    proposals: int = whole(200, 1, 2000, "boxes at most")
    scale: float = real(100.0, 0, 1e6, "of the fine segmentation: larger makes larger regions")
    sigma_px: float = real(0.8, 0, 10, "blur before the fine segmentation, in pixels")
    min_size_px: int = whole(50, 1, 10**7, "smaller regions of the fine segmentation are merged")


def _kernel() -> Any:
    from segserve.ops.classical import selective_search_kernel  # noqa: PLC0415  numba opens late

    return selective_search_kernel


def selective_search(
    image: Array, options: SelectiveSearchOptions, *, stop: Stop = never
) -> Segmentation:
    """Propose boxes that may hold objects.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    stop : callable
        Asked between segmenting, describing and merging.

    Returns
    -------
    Segmentation
        Labels of the fine segmentation, and proposals made of them: boxes that differ, the largest
        merges first; scores fall evenly from 1.

    Raises
    ------
    InvalidInput, Cancelled
    """
    image = check_image(image)
    options = checked(options)
    if is_constant(image):
        labels = np.zeros(image.shape[:2], np.int32)
        boxes = _boxes(labels, 1)
        return Segmentation(labels, None, boxes, np.ones(1, np.float32), np.ones((1, 1), bool))
    labels = _fine(image, options, stop)
    count = int(labels.max()) + 1
    check_stop(stop)
    boxes, members = _grouped(image, labels, count)
    kept = _different(boxes)[: options.proposals]
    scores = 1 - np.arange(len(kept)) / len(kept)
    return Segmentation(labels, None, boxes[kept], scores.astype(np.float32), members[kept])


def _fine(image: Array, options: SelectiveSearchOptions, stop: Stop) -> Labels:
    """Segment finely, with larger regions where there would be too many to compare."""
    wanted = FelzenszwalbOptions(options.scale, options.sigma_px, options.min_size_px)
    labels = felzenszwalb(image, wanted, stop=stop)
    while labels.max() >= _MAX_REGIONS:
        wanted = replace(wanted, min_size_px=2 * wanted.min_size_px)
        labels = felzenszwalb(image, wanted, stop=stop)
    return labels


def _grouped(image: Array, labels: Labels, count: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Merge all; gives the boxes and members of regions and merges, the last merge first."""
    nodes = 2 * count
    touch = np.zeros((nodes, nodes), bool)
    pairs = neighbour_pairs(labels)
    touch[pairs[:, 0], pairs[:, 1]] = touch[pairs[:, 1], pairs[:, 0]] = True
    sizes = np.bincount(labels.reshape(-1), minlength=nodes).astype(np.float64)
    columns: tuple[Array, ...] = (
        _colours(image, labels, count),
        _textures(image, labels, count),
        _boxes(labels, count),
    )
    colours, textures, boxes = (
        np.ascontiguousarray(np.pad(column, ((0, count), (0, 0))), dtype=np.float32)
        for column in columns
    )
    merges = np.empty((count, 2), np.int64)
    made = _kernel().group(
        colours, textures, sizes, boxes, touch, float(labels.size), count, merges
    )
    members = np.zeros((count + made, count), bool)
    members[np.arange(count), np.arange(count)] = True
    for index, (a, b) in enumerate(merges[:made]):
        members[count + index] = members[a] | members[b]
    order = np.arange(count + made)[::-1]
    return boxes[order], members[order]


def _boxes(labels: Labels, count: int) -> Floats:
    """Give x1, y1, x2, y2 of every label, x2 and y2 exclusive."""
    height, width = labels.shape
    flat = labels.reshape(-1)
    y, x = (axis.reshape(-1) for axis in np.mgrid[:height, :width])
    out = np.empty((count, 4), np.float32)
    out[:, :2] = np.inf
    out[:, 2:] = 0
    np.minimum.at(out[:, 0], flat, x)
    np.minimum.at(out[:, 1], flat, y)
    np.maximum.at(out[:, 2], flat, x + 1)
    np.maximum.at(out[:, 3], flat, y + 1)
    return out


def _histograms(labels: Labels, bins: Array, count: int, size: int) -> npt.NDArray[np.float64]:
    codes = labels.reshape(-1).astype(np.int64) * size + bins.reshape(-1)
    return np.bincount(codes, minlength=count * size).reshape(count, size).astype(np.float64)


def _colours(image: Array, labels: Labels, count: int) -> npt.NDArray[np.float64]:
    """Give histograms of L*, a* and b* that add up to 1 together, [count, 75]."""
    ranges = ((0.0, 100.0), (-100.0, 100.0), (-100.0, 100.0))
    parts = []
    for plane, (low, high) in zip(lab(image), ranges, strict=True):
        bins = np.clip((plane - low) / (high - low) * _COLOUR_BINS, 0, _COLOUR_BINS - 1)
        parts.append(_histograms(labels, bins.astype(np.int64), count, _COLOUR_BINS))
    return _normalised(np.concatenate(parts, axis=1))


def _textures(image: Array, labels: Labels, count: int) -> npt.NDArray[np.float64]:
    """Give histograms of gradient sizes in 8 directions that add up to 1, [count, 240]."""
    parts = []
    for channel in range(3):
        along_x, along_y = gradients(image[..., channel])
        turns = np.arctan2(along_y, along_x) / (2 * np.pi) % 1
        direction = np.minimum((turns * _DIRECTIONS).astype(np.int64), _DIRECTIONS - 1)
        strength = np.minimum(
            (np.hypot(along_x, along_y) / 128 * _STRENGTH_BINS).astype(np.int64), _STRENGTH_BINS - 1
        )
        bins = direction * _STRENGTH_BINS + strength
        parts.append(_histograms(labels, bins, count, _DIRECTIONS * _STRENGTH_BINS))
    return _normalised(np.concatenate(parts, axis=1))


def _normalised(histograms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(histograms / histograms.sum(axis=1, keepdims=True))


def _different(boxes: Floats) -> npt.NDArray[np.intp]:
    """Give the rows of boxes that no earlier row has."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return np.sort(first)
