"""Regions of a label map: connected pieces, neighbours, means."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segserve.core.tensor import Array
from segserve.ops.classical.segmentation import Labels


def _kernel() -> Any:
    from segserve.ops.classical import regions_kernel  # noqa: PLC0415  numba opens late

    return regions_kernel


def connected_pieces(labels: Array, min_size_px: int = 0) -> Labels:
    """Give numbers to the 4-connected pieces of equal labels in scan order.

    Parameters
    ----------
    labels : integer [H, W]
    min_size_px : int
        Smaller pieces join the piece that lies left of their first pixel (above it in the first
        column); the very first piece has none and stays.

    Returns
    -------
    pieces : int32 [H, W]
        0 to K-1.
    """
    out = np.empty(labels.shape, np.int32)
    _kernel().connect(np.ascontiguousarray(labels, dtype=np.int32), out, min_size_px)
    return out


def neighbour_pairs(labels: Array) -> npt.NDArray[np.int64]:
    """Give every pair of labels that touch along an edge once, lower label first: int64 [P, 2]."""
    count = int(labels.max()) + 1
    codes = []
    for first, second in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = first != second
        a, b = first[differ].astype(np.int64), second[differ].astype(np.int64)
        codes.append(np.minimum(a, b) * count + np.maximum(a, b))
    pairs = np.unique(np.concatenate(codes))
    return np.stack([pairs // count, pairs % count], axis=1)


def region_means(labels: Array, planes: Array) -> npt.NDArray[np.float64]:
    """Average planes over regions.

    Parameters
    ----------
    labels : int32 [H, W]
        0 to K-1, each of them used.
    planes : float [D, H, W]

    Returns
    -------
    means : float64 [K, D]
    """
    flat = labels.reshape(-1)
    counts = np.bincount(flat)
    sums = [np.bincount(flat, weights=plane.reshape(-1)) for plane in planes]
    return np.stack(sums, axis=1) / counts[:, None]
